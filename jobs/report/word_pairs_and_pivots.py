"""The strongest word pairs of every language pair, and the pivots with the translation pairs that they link."""

from functools import partial

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.framework.stage import Run
from jobs.report.report_types import N_PIVOTS_JUDGED, LanguagePair
from pivot_udfs.storage.typed_columns import pylist
from pivot_udfs.write_report import WORD_ASSOCIATIONS, associate_word_pairs

N_WORD_PAIRS, N_LINKED, N_PIVOTS = 100, 6, 2000
_TOTALS = {"lang": "lang", "word": "word", "doc_count": "docs"}


def read_language_pairs(run: Run) -> tuple[LanguagePair, ...]:
    """All language pairs with their strongest word pairs, those with the most co-occurrences first."""
    cooccurrence = run.warehouse.read("word_cooccurrence")
    pair = ["lang_a", "lang_b"]
    sums = cooccurrence.groupBy(*pair).agg(F.count("*").alias("n"), F.sum("doc_count").alias("doc_counts"))
    concepts = run.warehouse.read("pair_pivots").groupBy(*pair).agg(F.countDistinct("concept").alias("linked"))
    rows = sums.join(concepts, on=pair, how="left").orderBy(F.desc("doc_counts"), *pair).collect()
    n_docs = sum(pylist(run.warehouse.read_small("corpus_totals").column("n_docs")))
    strongest = _strongest_pairs(run, cooccurrence, n_docs)
    return tuple(
        LanguagePair(row["lang_a"], row["lang_b"], row["n"], row["linked"] or 0, strongest.get((row[0], row[1]), ()))
        for row in rows
    )


def _strongest_pairs(run: Run, cooccurrence: DataFrame, n_docs: int) -> dict[tuple[str, str], tuple[Row, ...]]:
    totals = run.warehouse.read("word_totals")
    sides = [
        F.broadcast(totals.select(*(F.col(c).alias(f"{new}_{side}") for c, new in _TOTALS.items()))) for side in "ab"
    ]
    counted = (
        cooccurrence.where(F.col("doc_count") >= run.settings.pivots.min_word_doc_count)
        .where(F.lower("word_a") != F.lower("word_b"))
        .join(sides[0], on=["lang_a", "word_a"], how="inner")
        .join(sides[1], on=["lang_b", "word_b"], how="inner")
        .select(*WORD_ASSOCIATIONS.names[:-1])
    )
    step = partial(associate_word_pairs, n_docs=n_docs)
    associated = counted.mapInArrow(step, from_arrow_schema(WORD_ASSOCIATIONS))
    best = Window.partitionBy("lang_a", "lang_b").orderBy(F.desc("npmi"), F.desc("doc_count"), "word_a", "word_b")
    ranked = associated.withColumn("rank", F.row_number().over(best)).where(F.col("rank") <= N_WORD_PAIRS)
    found: dict[tuple[str, str], tuple[Row, ...]] = {}
    translations = _translations(run)
    for row in sorted(ranked.collect(), key=lambda row: row["rank"]):
        words = (row["lang_a"], row["word_a"]), (row["lang_b"], row["word_b"])
        languages = (row["lang_a"], row["lang_b"])
        found[languages] = (*found.get(languages, ()), Row(**row.asDict(), is_translation=words in translations))
    return found


def _translations(run: Run) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    words = run.lexicon.words
    cells = [[word for word in concept if word >= 0] for concept in run.lexicon.concepts]
    return {(words[a], words[b]) for concept in cells for a in concept for b in concept if a < b}


def read_pivots(run: Run) -> tuple[Row, ...]:
    """The best ``N_PIVOTS`` pivots by rank with the pairs they link, the first ``N_PIVOTS_JUDGED`` with overlap."""
    pivots = run.warehouse.read("pivots").where(F.col("rank") <= N_PIVOTS)
    pairs = run.warehouse.read("pair_pivots").join(
        F.broadcast(pivots.select("token_id", F.col("rank").alias("of"))), on="token_id", how="inner"
    )
    overlaps = _overlaps(run, pairs.where(F.col("of") <= N_PIVOTS_JUDGED))
    with_pairs = pivots.join(_linked_pairs(pairs), on="token_id", how="left")
    return tuple(with_pairs.join(overlaps, on="token_id", how="left").orderBy("rank").collect())


def _overlaps(run: Run, pairs: DataFrame) -> DataFrame:
    """token_id, ``overlap`` of the tokens in ``pairs``."""
    sides = [F.struct(F.col(f"lang_{side}").alias("lang"), F.col(f"word_{side}").alias("word")) for side in "ab"]
    words = pairs.select("token_id", F.explode(F.array(*sides)).alias("of")).select("token_id", "of.*").distinct()
    near = run.warehouse.read("token_cooccurrence").join(
        F.broadcast(words), on=["token_id", "lang", "word"], how="inner"
    )
    totals = run.warehouse.read("token_totals").select("token_id", F.col("doc_count").alias("n_docs"))
    return (
        near.join(totals, on="token_id")
        .groupBy("token_id")
        .agg(F.median(F.col("doc_count") / F.col("n_docs")).alias("overlap"))
    )


def _linked_pairs(pairs: DataFrame) -> DataFrame:
    """token_id, ``pairs``: the translation pairs with each token's highest scores, at most one of each concept."""
    words = ["lang_a", "word_a", "lang_b", "word_b"]
    of_concept = Window.partitionBy("token_id", "concept").orderBy(F.desc("score"), *words)
    of_token = Window.partitionBy("token_id").orderBy(F.desc("score"), "concept")
    best = (
        pairs.withColumn("place", F.row_number().over(of_concept))
        .where(F.col("place") == 1)
        .withColumn("place", F.row_number().over(of_token))
        .where(F.col("place") <= N_LINKED)
    )
    return best.groupBy("token_id").agg(F.sort_array(F.collect_list(F.struct("place", *words))).alias("pairs"))
