"""Reads the tables for the report. Spark adds up; what comes to the driver is bounded whatever the corpus size.

Documents themselves are read for the examples only, by key.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.report.content import (
    Arm,
    Example,
    Intake,
    LanguagePair,
    Pivot,
    Rejected,
    Report,
    Source,
    TableNote,
    Tie,
    WordPair,
)
from jobs.report.densities import read_densities, with_shrunken_density
from jobs.stage import Run
from pivot_udfs.check_record import REASONS
from pivot_udfs.load_settings import result_settings
from pivot_udfs.schemas import TABLES
from pivot_udfs.settings import Selection, Settings
from pivot_udfs.token_spans import token_byte_spans
from pivot_udfs.tokenizer_backends import vocabulary
from pivot_udfs.write_report import WORD_ASSOCIATIONS, associate_word_pairs, mark_pivots

N_SOURCES, N_WORD_PAIRS, N_LANGUAGE_PAIRS, N_TIED, N_TIES, N_PIVOTS_PLOTTED = 20, 10, 12, 30, 6, 2000
PASSAGE_TOKENS = 220
_N_THREADS = 3
_LONGEST_EXAMPLE = 20_000  # tokens; examples are tokenized again on the driver
_KEY = ("source", "doc_id", "lang", "n_tokens")


def read_report(run: Run) -> Report:
    """Everything that the page shows, from the newest tables of the warehouse."""
    scores = run.warehouse.read("document_scores")
    members = _arm_members(run)
    scored = with_shrunken_density(scores, run.settings.selection.shrinkage_tokens)
    scored = scored.join(_pivot_keys(members), on=list(_KEY), how="left").fillna(False, ["taken"]).persist()
    vocabulary(run.tokenizer)  # loaded once, before the threads need it
    # Each part is many small queries, most of whose time is Spark's planning: the parts run side by side.
    with ThreadPoolExecutor(_N_THREADS) as pool:
        pairs_ = pool.submit(_language_pairs, run)
        pivots = pool.submit(_pivots, run)
        arms = pool.submit(_arms, run.settings.selection, members)
        tables = pool.submit(_table_notes, run)
        densities = read_densities(scored)
        intake, examples = _intake(run, scored), _examples(run, scored, [language.lang for language in densities])
    scored.unpersist()
    pairs = pairs_.result()
    return Report(
        warehouse=run.warehouse.path,
        window=str(run.settings.cooccurrence.window),
        association=run.settings.pivots.association,
        rule=_rule(run.settings.selection),
        shrinkage_tokens=run.settings.selection.shrinkage_tokens,
        min_doc_count=run.settings.pivots.min_word_doc_count,
        n_pivots=run.warehouse.read("pivots").count(),
        intake=intake,
        language_pairs=pairs[:N_LANGUAGE_PAIRS],
        n_language_pairs=len(pairs),
        pivots=pivots.result(),
        densities=densities,
        arms=arms.result(),
        examples=examples,
        tables=tables.result(),
        settings=_settings(run.settings),
    )


def _arm_members(run: Run) -> DataFrame:
    """arm, the key columns, pivot_density: a row a document of an arm."""
    frames = [
        run.warehouse.read(f"datasets/{arm}").select(*_KEY, "pivot_density", F.lit(arm).alias("arm"))
        for arm in run.settings.selection.arms
    ]
    members = frames[0]
    for frame in frames[1:]:
        members = members.unionByName(frame)
    return members


def _pivot_keys(members: DataFrame) -> DataFrame:
    return members.where(F.col("arm") == "pivot").select(*_KEY).distinct().withColumn("taken", F.lit(True))


def _intake(run: Run, scored: DataFrame) -> Intake:
    by_source = scored.groupBy("lang", "source").agg(F.count("*").alias("n_docs"), F.sum("n_tokens").alias("n_tokens"))
    by_source = by_source.persist()
    totals = by_source.agg(F.count("*"), F.sum("n_docs"), F.sum("n_tokens")).collect()[0]
    sources = by_source.orderBy(F.desc("n_tokens"), "lang", "source").limit(N_SOURCES).collect()
    by_source.unpersist()
    quarantine = run.warehouse.read("quarantine")
    shards = scored.select("shard").union(quarantine.select("shard")).distinct().count()
    rejected = _rejected(quarantine)
    return Intake(
        n_shards=shards,
        n_docs=totals[1] or 0,
        n_tokens=totals[2] or 0,
        n_bytes=_text_bytes(run),
        n_quarantined=sum(row.n_records for row in rejected),
        n_sources=totals[0],
        sources=tuple(Source(**row.asDict()) for row in sources),
        rejected=rejected,
    )


def _rejected(quarantine: DataFrame) -> tuple[Rejected, ...]:
    rows = (
        quarantine.groupBy("reason")
        .agg(F.count("*").alias("n"), F.countDistinct("shard").alias("shards"), F.min("detail").alias("detail"))
        .orderBy(F.desc("n"), "reason")
        .collect()
    )
    return tuple(
        Rejected(row["reason"], REASONS.get(row["reason"], ""), row["n"], row["shards"], row["detail"][:200])
        for row in rows
    )


def _text_bytes(run: Run) -> int | None:
    """Bytes of all texts, from the tokens' lengths: the texts are not read."""
    lengths = vocabulary(run.tokenizer).byte_lengths
    if lengths is None:
        return None
    totals = run.warehouse.read("token_totals").select("token_id", "count").toArrow()
    ids, counts = (totals.column(name).to_numpy() for name in ("token_id", "count"))
    return int(lengths[ids].astype(np.int64) @ counts)


def _language_pairs(run: Run) -> tuple[LanguagePair, ...]:
    """Every language pair, the one with the most meetings first, with its strongest word pairs."""
    met = run.warehouse.read("word_cooccurrence")
    pair = ["lang_a", "lang_b"]
    sums = met.groupBy(*pair).agg(F.count("*").alias("n"), F.sum("doc_count").alias("meetings"))
    concepts = run.warehouse.read("pair_pivots").groupBy(*pair).agg(F.countDistinct("concept").alias("tied"))
    rows = sums.join(concepts, on=pair, how="left").orderBy(F.desc("meetings"), *pair).collect()
    n_docs = run.warehouse.read("corpus_totals").agg(F.sum("n_docs")).collect()[0][0] or 0
    strongest = _strongest_pairs(run, met, n_docs)
    return tuple(
        LanguagePair(row["lang_a"], row["lang_b"], row["n"], row["tied"] or 0, strongest.get((row[0], row[1]), ()))
        for row in rows
    )


def _strongest_pairs(run: Run, met: DataFrame, n_docs: int) -> dict[tuple[str, str], tuple[WordPair, ...]]:
    totals = run.warehouse.read("word_totals")
    sides = [
        F.broadcast(totals.select(*(F.col(c).alias(f"{new}_{side}") for c, new in _TOTALS.items()))) for side in "ab"
    ]
    counted = (
        met.where(F.col("doc_count") >= run.settings.pivots.min_word_doc_count)
        .where(F.lower("word_a") != F.lower("word_b"))
        .join(sides[0], on=["lang_a", "word_a"], how="inner")
        .join(sides[1], on=["lang_b", "word_b"], how="inner")
        .select(*WORD_ASSOCIATIONS.names[:-1])
    )
    step = partial(associate_word_pairs, n_docs=n_docs)
    associated = counted.mapInArrow(step, from_arrow_schema(WORD_ASSOCIATIONS))
    best = Window.partitionBy("lang_a", "lang_b").orderBy(F.desc("npmi"), F.desc("doc_count"), "word_a", "word_b")
    ranked = associated.withColumn("rank", F.row_number().over(best)).where(F.col("rank") <= N_WORD_PAIRS)
    found: dict[tuple[str, str], tuple[WordPair, ...]] = {}
    translations = _translations(run)
    for row in sorted(ranked.collect(), key=lambda row: row["rank"]):
        words = (row["lang_a"], row["word_a"]), (row["lang_b"], row["word_b"])
        values = {name: row[name] for name in WORD_ASSOCIATIONS.names if not name.startswith("lang_")}
        languages = (row["lang_a"], row["lang_b"])
        found[languages] = (*found.get(languages, ()), WordPair(**values, is_translation=words in translations))
    return found


_TOTALS = {"lang": "lang", "word": "word", "doc_count": "docs"}


def _translations(run: Run) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    words = run.lexicon.words
    cells = [[word for word in concept if word >= 0] for concept in run.lexicon.concepts]
    return {(words[a], words[b]) for concept in cells for a in concept for b in concept if a < b}


def _pivots(run: Run) -> tuple[Pivot, ...]:
    rows = run.warehouse.read("pivots").orderBy("rank").limit(N_PIVOTS_PLOTTED).collect()
    ties = _ties(run, [row["token_id"] for row in rows[:N_TIED]])
    names = [name for name in TABLES["pivots"].names if name != "token_id"]
    return tuple(Pivot(**{name: row[name] for name in names}, ties=ties.get(row["token_id"], ())) for row in rows)


def _ties(run: Run, token_ids: list[int]) -> dict[int, tuple[Tie, ...]]:
    """The translation pairs that each token ties best, each concept once."""
    words = ["lang_a", "word_a", "lang_b", "word_b"]
    of_concept = Window.partitionBy("token_id", "concept").orderBy(F.desc("score"), *words)
    of_token = Window.partitionBy("token_id").orderBy(F.desc("score"), "concept")
    rows = (
        run.warehouse.read("pair_pivots")
        .where(F.col("token_id").isin(token_ids))
        .withColumn("place", F.row_number().over(of_concept))
        .where(F.col("place") == 1)
        .withColumn("place", F.row_number().over(of_token))
        .where(F.col("place") <= N_TIES)
        .collect()
    )
    ties: dict[int, tuple[Tie, ...]] = {}
    for row in sorted(rows, key=lambda row: row["place"]):
        ties[row["token_id"]] = (*ties.get(row["token_id"], ()), Tie(*(row[name] for name in words)))
    return ties


def _arms(selection: Selection, members: DataFrame) -> tuple[Arm, ...]:
    joined = members.join(_pivot_keys(members), on=list(_KEY), how="left")
    rows = (
        joined.groupBy("arm", "lang")
        .agg(
            F.count("*").alias("n_docs"),
            F.sum("n_tokens").alias("n_tokens"),
            F.sum(F.col("n_tokens") * F.col("pivot_density")).alias("pivots"),
            F.count("taken").alias("in_pivot"),
        )
        .orderBy("arm", F.desc("n_tokens"), "lang")
        .collect()
    )
    return tuple(_arm(arm, [row for row in rows if row["arm"] == arm]) for arm in selection.arms)


def _arm(name: str, rows: list[Any]) -> Arm:
    n_tokens = sum(row["n_tokens"] for row in rows)
    return Arm(
        name=name,
        n_docs=sum(row["n_docs"] for row in rows),
        n_tokens=n_tokens,
        density=sum(row["pivots"] for row in rows) / max(n_tokens, 1),
        language_tokens={row["lang"]: row["n_tokens"] for row in rows},
        n_in_pivot=sum(row["in_pivot"] for row in rows),
    )


def _examples(run: Run, scored: DataFrame, languages: Sequence[str]) -> tuple[Example, ...]:
    """The densest selected documents, by turns of the languages in their order here."""
    best = Window.partitionBy("lang").orderBy(F.desc("shrunken"), "source", "doc_id")
    n_examples = run.settings.report.n_examples
    taken = scored.where(F.col("taken") & (F.col("n_tokens") <= _LONGEST_EXAMPLE))
    ranked = taken.withColumn("place", F.row_number().over(best)).where(F.col("place") <= n_examples)
    turn = F.array_position(F.array(*map(F.lit, languages)), F.col("lang"))
    keys = ranked.where(turn > 0).orderBy("place", turn).select(*_KEY).limit(n_examples).collect()
    if not keys:
        return ()
    wanted = run.spark.createDataFrame([tuple(row) for row in keys], scored.select(*_KEY).schema)
    rows = run.warehouse.read("datasets/pivot").join(F.broadcast(wanted), on=list(_KEY), how="inner").collect()
    by_key = {tuple(row[name] for name in _KEY): row for row in rows}
    pivots = {row["token_id"] for row in run.warehouse.read("pivots").select("token_id").collect()}
    return tuple(_example(run, by_key[tuple(key)], pivots) for key in keys)


def _example(run: Run, row: Any, pivots: set[int]) -> Example:
    starts, ends = token_byte_spans(run.tokenizer, row["text"])
    is_pivot = np.array([token_id in pivots for token_id in row["token_ids"]], dtype=bool)
    passage = mark_pivots(row["text"], starts, ends, is_pivot, PASSAGE_TOKENS)
    return Example(row["source"], row["doc_id"], row["lang"], row["n_tokens"], row["pivot_density"], passage)


def _table_notes(run: Run) -> tuple[TableNote, ...]:
    notes = []
    for name in (*TABLES, *(f"datasets/{arm}" for arm in run.settings.selection.arms)):
        recipe, version = run.warehouse.recipe(name), run.warehouse.version(name)
        if recipe and version is not None:
            made = (recipe.job, recipe.code_version, recipe.fingerprint, recipe.inputs, recipe.files)
            notes.append(TableNote(name, version, *made))
    return tuple(notes)


def _rule(selection: Selection) -> str:
    if selection.rule == "top_share":
        return f"the densest {selection.share:.0%} of each language's tokens"
    if selection.rule == "threshold":
        return f"all documents with a shrunken density of {selection.threshold:g} or more"
    return f"the densest documents, {selection.tokens:,} tokens in all"


def _settings(settings: Settings) -> dict[str, str]:
    sections = (settings.corpus, settings.lexicon, settings.cooccurrence, settings.pivots, settings.selection)
    return {key: str(value) for key, value in result_settings(*sections).items()}
