"""Pivot densities of the documents of each language: histograms, shares taken by length, samples for scatter plots."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from jobs.report.report_types import LanguageDensity

N_LANGUAGES, N_BINS, N_SAMPLED = 6, 48, 4000


def read_densities(scored: DataFrame) -> tuple[LanguageDensity, ...]:
    """Histograms, length bins and samples of at most N_LANGUAGES languages, in descending order of tokens.

    ``scored`` is ``document_scores`` with ``shrunken_density`` (float) and ``taken`` (bool).
    """
    totals = _totals(scored)
    widths = {row["lang"]: row["high"] / (N_BINS - 1) or 1.0 / N_BINS for row in totals}
    shown = scored.where(F.col("lang").isin([row["lang"] for row in totals]))
    bins = _histograms(shown, widths)
    lengths = _lengths(shown, _raw_cuts(shown, totals))
    samples = _samples(shown, {row["lang"]: row["n_docs"] for row in totals})
    return tuple(
        LanguageDensity(
            lang=row["lang"],
            n_docs=row["n_docs"],
            n_tokens=row["n_tokens"],
            density=row["n_pivot_tokens"] / max(row["n_tokens"], 1),
            n_taken=row["n_taken"],
            cut=row["cut"],
            bin_width=widths[row["lang"]],
            **{kind: tuple(bins[kind, row["lang"]]) for kind in ("raw", "shrunken", "taken")},
            lengths=lengths.get(row["lang"], ()),
            sample=samples.get(row["lang"], ()),
        )
        for row in totals
    )


def _totals(scored: DataFrame) -> list[Row]:
    return (
        scored.groupBy("lang")
        .agg(
            F.count("*").alias("n_docs"),
            F.sum("n_tokens").alias("n_tokens"),
            F.sum("n_pivot_tokens").alias("n_pivot_tokens"),
            F.count_if("taken").alias("n_taken"),
            F.min(F.when(F.col("taken"), F.col("shrunken_density"))).alias("cut"),
            F.percentile_approx("pivot_density", 0.99).alias("high"),
        )
        .orderBy(F.desc("n_tokens"), "lang")
        .limit(N_LANGUAGES)
        .collect()
    )


def _histograms(scored: DataFrame, widths: dict[str, float]) -> dict[tuple[str, str], list[int]]:
    """Counts of documents in N_BINS bins by (kind, lang)."""
    width = F.lit(1.0)
    for lang, value in widths.items():
        width = F.when(F.col("lang") == lang, value).otherwise(width)

    def place(column: str) -> Column:
        return F.least(F.floor(F.col(column) / width), F.lit(N_BINS - 1)).cast("int")

    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * N_BINS)
    kinds = F.array(
        F.struct(F.lit("raw").alias("kind"), place("pivot_density").alias("place")),
        F.struct(F.lit("shrunken").alias("kind"), place("shrunken_density").alias("place")),
        F.when(F.col("taken"), F.struct(F.lit("taken").alias("kind"), place("shrunken_density").alias("place"))),
    )
    cells = scored.select("lang", F.explode(kinds).alias("cell")).where("cell is not null").select("lang", "cell.*")
    for row in cells.groupBy("lang", "kind", "place").count().collect():
        counts[row["kind"], row["lang"]][row["place"]] = row["count"]
    return counts


def _raw_cuts(scored: DataFrame, totals: Sequence[Row]) -> dict[str, float | None]:
    """The raw density above which each language has about as many documents as the pivot arm took of it."""
    cuts = [
        F.percentile_approx(
            F.when(F.col("lang") == row["lang"], F.col("pivot_density")), 1 - row["n_taken"] / row["n_docs"]
        )
        for row in totals
    ]
    found = scored.agg(*cuts).collect()[0] if cuts else ()
    return {row["lang"]: cut if row["n_taken"] else None for row, cut in zip(totals, found, strict=True)}


def _lengths(scored: DataFrame, raw_cuts: dict[str, float | None]) -> dict[str, tuple[Row, ...]]:
    above = F.lit(False)
    for lang, cut in raw_cuts.items():
        if cut is not None:
            above = above | ((F.col("lang") == lang) & (F.col("pivot_density") > cut))
    octave = F.floor(F.log2(F.greatest("n_tokens", F.lit(1)))).cast("int")
    counts = F.count("*").alias("n_docs"), F.count_if("taken").alias("n_taken"), F.count_if(above).alias("n_by_raw")
    n_tokens = F.expr("shiftleft(1L, octave)").alias("n_tokens")
    bins = scored.groupBy("lang", octave.alias("octave")).agg(*counts).orderBy("lang", "octave")
    return _by_language(bins.select("lang", n_tokens, "n_docs", "n_taken", "n_by_raw"))


def _samples(scored: DataFrame, n_docs: dict[str, int]) -> dict[str, tuple[Row, ...]]:
    """About N_SAMPLED documents of each language, drawn by the hash of their key."""
    draw = F.shiftrightunsigned(F.xxhash64("source", "doc_id", "shard", "record"), 11) / F.lit(float(1 << 53))
    drawn = F.lit(False)
    for lang, n in n_docs.items():
        drawn = drawn | ((F.col("lang") == lang) & (draw < min(1.0, N_SAMPLED / n)))
    densities = F.col("pivot_density").alias("density"), F.col("shrunken_density").alias("shrunken")
    points = scored.where(drawn).select("lang", "n_tokens", *densities, "taken")
    return _by_language(points.orderBy("lang", "n_tokens", "density"))


def _by_language(frame: DataFrame) -> dict[str, tuple[Row, ...]]:
    """The rows of a frame that is in order of ``lang``, by it."""
    return {lang: tuple(rows) for lang, rows in groupby(frame.collect(), key=lambda row: row["lang"])}
