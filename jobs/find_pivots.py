"""Counts in; ``pair_pivots`` (the tokens that tie two words together) and ``pivots`` (the hub tokens) out.

Between refreshes both tables stay, and it is only measured how many pivots today's counts would change.

spark-submit jobs/find_pivots.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage, make_provenance, of_table, why_anew
from jobs.warehouse.driver_rows import commit_rows
from jobs.warehouse.releases import read_release
from pivot_udfs.errors import WarehouseError
from pivot_udfs.find_pivots import ASSOCIATIONS, associate_rows, drift_between
from pivot_udfs.matching.lexicon import surface_forms
from pivot_udfs.provenance import Provenance, difference
from pivot_udfs.tokenization.vocabulary import vocabulary, word_token_ids

_PAIR = ["concept", "lang_a", "word_a", "lang_b", "word_b"]


def run(run: Run, provenance: Provenance) -> None:
    """Writes ``pair_pivots``, then ``pivots`` from it; of pinned ones it measures the drift only."""
    counts = {name: run.warehouse.read(name) for name in provenance.tables}
    n_docs = counts["corpus_totals"].agg(F.sum("n_docs")).collect()[0][0]
    if not n_docs:
        raise WarehouseError(f"{run.warehouse.table_path('corpus_totals')} counts no document: tokenize a corpus first")
    pairs = _pair_pivots(run, _associations(run, counts, n_docs))
    if run.pins and why_anew(run, STAGE, provenance) is None and _stay(run, _hubs(run, pairs, counts, n_docs)):
        return
    with run.progress.watch(run.spark, STAGE.name, "pairs"):
        run.warehouse.write(pairs, ["pair_pivots"], provenance)
    with run.progress.watch(run.spark, STAGE.name, "hubs"):
        hubs = _hubs(run, run.warehouse.read("pair_pivots"), counts, n_docs)
        commit_rows(run.warehouse, "pivots", hubs, of_table(run, STAGE, "pivots", provenance))
    run.pivot_drift = 0.0


def why(run: Run, _: Provenance) -> str | None:
    """Why pinned pivots have to be compared with the counts; None where that was done and they stay."""
    drift = known_drift(run)
    if drift is None:
        return "the counts have changed"
    return f"{drift:.1%} of the pivot set would change" if drift > _allowed_drift(run) else None


def known_drift(run: Run) -> float | None:
    """The share of the pivot set that today's counts would change, in [0, 1]; None where no run has measured it."""
    provenance, pivots = make_provenance(run, STAGE), run.warehouse.content("pivots")
    if run.pivot_drift is not None or pivots is None or pivots.provenance is None:
        return run.pivot_drift
    if difference(pivots.provenance, of_table(run, STAGE, "pivots", provenance)) is None:
        return 0.0
    rows, release = {**provenance.tables, "pivots": pivots.rows}, read_release(run.warehouse.root)
    is_measured = release and all(release.holds(name, of) for name, of in rows.items())
    return release.pivot_drift if release and is_measured else None


def _stay(run: Run, hubs: Sequence[Mapping[str, Any]]) -> bool:
    """Measures how much ``hubs``, the pivots by today's counts, differ from pinned ones; whether these stay."""
    pinned = [row["token_id"] for row in run.warehouse.read("pivots").collect()]
    run.pivot_drift = drift_between(pinned, [hub["token_id"] for hub in hubs])
    run.progress.say(STAGE.name, f"drift: today's counts would change {run.pivot_drift:.1%} of the pivot set")
    if pinned and run.pivot_drift <= _allowed_drift(run):
        return True
    why = f"that is more than refresh.max_drift ({_allowed_drift(run):.1%})" if pinned else "there is no pivot"
    run.progress.say(STAGE.name, f"refresh: {why}")
    return False


def _allowed_drift(run: Run) -> float:
    return run.settings.refresh.max_drift if run.settings.refresh.rule == "on_drift" else 1.0


def _associations(run: Run, counts: Mapping[str, DataFrame], n_docs: int) -> DataFrame:
    """lang, word, token_id, association above the floor, for words and tokens that are frequent enough."""
    pivots, vocab = run.settings.pivots, vocabulary(run.tokenizer)
    usable = vocab.has_letter.copy()
    usable[list(vocab.special_ids)] = False
    words = counts["word_totals"].where(F.col("doc_count") >= pivots.min_word_doc_count)
    words = words.select("lang", "word", F.col("doc_count").alias("word_docs"))
    tokens = counts["token_totals"].select("token_id", F.col("doc_count").alias("token_docs"))
    counted = (
        counts["token_cooccurrence"]
        .where(F.col("doc_count") >= pivots.min_doc_count)
        .join(F.broadcast(words), on=["lang", "word"], how="inner")
        .join(F.broadcast(tokens), on="token_id", how="inner")
        .select("lang", "word", "token_id", "doc_count", "word_docs", "token_docs")
    )
    step = partial(associate_rows, measure=pivots.association, n_docs=n_docs, floor=pivots.score_floor, usable=usable)
    return counted.mapInArrow(step, from_arrow_schema(ASSOCIATIONS))


def _pair_pivots(run: Run, associations: DataFrame) -> DataFrame:
    sides = [
        associations.toDF(f"lang_{side}", f"word_{side}", "token_id", f"association_{side}").alias(side)
        for side in ("a", "b")
    ]
    best = Window.partitionBy(*_PAIR).orderBy(F.desc("score"), F.asc("token_id"))
    own_token = F.array_contains("own_tokens", F.col("token_id"))
    return (
        F.broadcast(_translation_pairs(run))
        .join(sides[0], on=["lang_a", "word_a"], how="inner")
        .join(sides[1], on=["lang_b", "word_b", "token_id"], how="inner")
        .where(~own_token)
        .withColumn("score", F.least("association_a", "association_b"))
        .withColumn("rank", F.row_number().over(best).cast("long"))
        .where(F.col("rank") <= run.settings.pivots.pivots_per_pair)
        .join(F.broadcast(_token_texts(run)), on="token_id", how="inner")
    )


def _translation_pairs(run: Run) -> DataFrame:
    """The word pairs of every concept, smaller language first, with the words' own tokens; not those of one surface."""
    words = run.lexicon.words
    own = [sorted(word_token_ids(run.tokenizer, word)) for _, word in words]
    rows = [
        (concept, *words[a], *words[b], own[a] + own[b])
        for concept, cells in enumerate(run.lexicon.concepts)
        for a, b in combinations(cells, 2)
        if a >= 0 and b >= 0 and not set(surface_forms(words[a][1])) & set(surface_forms(words[b][1]))
    ]
    return run.spark.createDataFrame(
        rows, "concept long, lang_a string, word_a string, lang_b string, word_b string, own_tokens array<int>"
    )


def _token_texts(run: Run) -> DataFrame:
    return run.spark.createDataFrame(list(enumerate(vocabulary(run.tokenizer).texts)), "token_id int, token string")


def _hubs(run: Run, pairs: DataFrame, counts: Mapping[str, DataFrame], n_docs: int) -> list[dict[str, Any]]:
    """The rows of ``pivots``, ranked on the driver, which holds ``n_pivots`` of them."""
    shares = counts["token_totals"].select("token_id", (F.col("doc_count") / n_docs).alias("doc_share"))
    # A sum of doubles depends on its order; sorted first, it is the same on every run.
    total = F.aggregate(F.sort_array(F.collect_list("score")), F.lit(0.0), lambda total, score: total + score)
    hubs = (
        pairs.groupBy("token_id", "token")
        .agg(
            total.alias("score"),
            F.countDistinct("concept").alias("n_concepts"),
            F.countDistinct("lang_a", "lang_b").alias("n_language_pairs"),
        )
        .join(F.broadcast(shares), on="token_id", how="inner")
        .where(F.col("doc_share") <= run.settings.pivots.max_doc_share)
    )
    best = hubs.orderBy(F.desc("score"), F.asc("token_id")).limit(run.settings.pivots.n_pivots).collect()
    return [hub.asDict() | {"rank": rank} for rank, hub in enumerate(best, 1)]


STAGE = Stage(
    name="find_pivots",
    version=2,
    reads=("corpus_totals", "word_totals", "token_totals", "token_cooccurrence"),
    writes=lambda settings: ("pair_pivots", "pivots"),
    sections=("pivots", "lexicon"),
    files=("tokenizer", "lexicon"),
    packages=("regex", "sentencepiece", "tokenizers"),
    run=run,
    why=why,
    first=("pair_pivots",),
)


def main(argv: Sequence[str] | None = None) -> int:
    """The job; returns its exit code."""
    return run_job(STAGE.name, "Finds pair pivots and the pivot set in the counts.", [STAGE], argv)


if __name__ == "__main__":
    sys.exit(main())
