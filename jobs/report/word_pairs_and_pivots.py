"""The strongest word pairs of every language pair, and the pivots with the translation pairs that they link."""

from collections import Counter, defaultdict
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Row

from jobs.framework.stage import Run
from jobs.framework.task_sizes import read_mapped
from jobs.report.report_types import N_PIVOTS_JUDGED, LanguagePair
from pivot_udfs.counting.read_counts import read_counts
from pivot_udfs.storage.typed_columns import pylist
from pivot_udfs.write_report import (
    NEAR,
    WORD_ASSOCIATIONS,
    best_of_languages,
    counts_near,
    first_of_each,
    strongest_pairs,
)

N_WORD_PAIRS, N_LINKED, N_PIVOTS = 100, 6, 2000
_LANGUAGES, _WORDS = ["lang_a", "lang_b"], ["lang_a", "word_a", "lang_b", "word_b"]


def read_language_pairs(run: Run) -> tuple[LanguagePair, ...]:
    """All language pairs with their strongest word pairs, those with the most co-occurrences first."""
    files, folder = run.warehouse.files("word_cooccurrence"), run.warehouse.location("word_cooccurrence").uri
    step = partial(
        strongest_pairs,
        folder=folder,
        words=run.warehouse.read_small("word_totals"),
        n_docs=sum(pylist(run.warehouse.read_small("corpus_totals").column("n_docs"))),
        min_doc_count=run.settings.pivots.min_word_doc_count,
        n_best=N_WORD_PAIRS,
    )
    translations = _translations(run)
    strongest: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in best_of_languages(read_mapped(run.spark, files, step, WORD_ASSOCIATIONS), N_WORD_PAIRS).to_pylist():
        words = (row["lang_a"], row["word_a"]), (row["lang_b"], row["word_b"])
        strongest[row["lang_a"], row["lang_b"]].append(Row(**row, is_translation=words in translations))
    n_pairs, n_docs = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for rows in read_counts("word_cooccurrence", [*files], folder, ("word_a", "word_b", "pair_count")):
        sums = pa.table(rows).group_by(_LANGUAGES).aggregate([("doc_count", "count"), ("doc_count", "sum")])
        for lang_a, lang_b, n, doc_count in map(dict.values, sums.to_pylist()):
            n_pairs[lang_a, lang_b] += n
            n_docs[lang_a, lang_b] += doc_count
    linked = run.warehouse.read_small("pair_pivots").group_by(_LANGUAGES).aggregate([("concept", "count_distinct")])
    n_linked = {(lang_a, lang_b): n for lang_a, lang_b, n in map(dict.values, linked.to_pylist())}
    order = sorted(n_pairs, key=lambda of: (-n_docs[of], of))
    return tuple(LanguagePair(*of, n_pairs[of], n_linked.get(of, 0), tuple(strongest[of])) for of in order)


def _translations(run: Run) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    words = run.lexicon.words
    cells = [[word for word in concept if word >= 0] for concept in run.lexicon.concepts]
    return {(words[a], words[b]) for concept in cells for a in concept for b in concept if a < b}


def read_pivots(run: Run) -> tuple[Row, ...]:
    """The best ``N_PIVOTS`` pivots by rank with the pairs they link, the first ``N_PIVOTS_JUDGED`` with overlap."""
    pivots = run.warehouse.read_small("pivots").sort_by("rank").slice(0, N_PIVOTS)
    pairs, ids = run.warehouse.read_small("pair_pivots"), pivots.column("token_id")
    linked = _linked_pairs(pairs.filter(pc.is_in(pairs["token_id"], ids)))
    overlaps = _overlaps(run, pairs.filter(pc.is_in(pairs["token_id"], ids.slice(0, N_PIVOTS_JUDGED))))
    return tuple(
        Row(**row, pairs=linked.get(row["token_id"]), overlap=overlaps.get(row["token_id"]))
        for row in pivots.to_pylist()
    )


def _overlaps(run: Run, pairs: pa.Table) -> dict[int, float]:
    """``overlap`` of the tokens in rows of ``pair_pivots``, by token id."""
    names = ["token_id", "lang", "word"]
    sides = [pairs.select(["token_id", f"lang_{side}", f"word_{side}"]).rename_columns(names) for side in "ab"]
    cells = pa.concat_tables(sides).group_by(names).aggregate([])
    step = partial(counts_near, folder=run.warehouse.location("token_cooccurrence").uri, cells=cells)
    near = read_mapped(run.spark, run.warehouse.files("token_cooccurrence"), step, NEAR)
    joined = near.join(run.warehouse.read_small("token_totals"), "token_id", right_suffix="_in_all")
    ids, n_near, n_docs = (joined[name].to_numpy() for name in ("token_id", "doc_count", "doc_count_in_all"))
    shares = n_near / n_docs
    return {token_id: float(np.median(shares[ids == token_id])) for token_id in np.unique(ids).tolist()}


def _linked_pairs(pairs: pa.Table) -> dict[int, list[Row]]:
    """By token id the translation pairs with the token's highest scores, at most one of each concept."""
    of_concepts = first_of_each(pairs, ["token_id", "concept"], ["score"], _WORDS, 1)
    linked: dict[int, list[Row]] = defaultdict(list)
    for row in first_of_each(of_concepts, ["token_id"], ["score"], ["concept"], N_LINKED).to_pylist():
        linked[row["token_id"]].append(Row(**{name: row[name] for name in _WORDS}))
    return linked
