"""Pivot densities of the documents of each language: histograms, shares taken by length, samples for scatter plots.

Spark counts documents in fine bins of density; the driver makes the figures from these counts.
"""

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from itertools import groupby

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from jobs.report.arm_budgets_and_mixes import octave
from jobs.report.report_types import LanguageDensity
from jobs.selection.shrunken_density import SHRUNKEN

N_LANGUAGES, N_BINS, N_SAMPLED = 6, 48, 4000
_FINE = 64
"""Fine bins between 0 and the density of the whole language."""
_MOST = 4096
"""Fine bins of a language; the last one has no upper limit."""
_BY_LENGTH = Row("n_tokens", "n_docs", "n_taken", "n_by_raw")


def read_densities(marked: DataFrame, languages: Sequence[Row]) -> tuple[LanguageDensity, ...]:
    """Histograms, length bins and samples of the N_LANGUAGES first of ``languages``, from ``sums_by_language``.

    ``marked`` is ``document_scores`` with ``shrunken_density`` (float) and ``taken`` (bool).
    """
    shown = {row["lang"]: row["corpus"] for row in languages[:N_LANGUAGES]}
    widths = {lang: (row.n_pivot_tokens / max(row.n_tokens, 1) or 1.0) / _FINE for lang, row in shown.items()}
    marked = marked.where(F.col("lang").isin(list(shown)))
    bins = F.posexplode(F.array(_fine_bin("pivot_density", widths), _fine_bin(SHRUNKEN, widths)))
    binned = marked.select("lang", "taken", octave(), SHRUNKEN, bins.alias("of_shrunken", "bin"))
    counts = F.count("*").alias("n"), F.min(SHRUNKEN).alias("least")
    cells = _by_language(binned.groupBy("lang", "taken", "octave", "of_shrunken", "bin").agg(*counts))
    samples = _by_language(_samples(marked, {lang: row.n_docs for lang, row in shown.items()}))
    return tuple(_density(lang, row, widths[lang], cells[lang], samples.get(lang, ())) for lang, row in shown.items())


def _fine_bin(column: str, widths: dict[str, float]) -> Column:
    width = reduce(lambda other, lang: F.when(F.col("lang") == lang, widths[lang]).otherwise(other), widths, F.lit(1.0))
    return F.least(F.floor(F.col(column) / width), F.lit(_MOST - 1)).cast("int")


def _density(lang: str, sums: Row, width: float, cells: Sequence[Row], sample: tuple[Row, ...]) -> LanguageDensity:
    """Of one language, from its counts of documents by fine bins of the raw and of the shrunken density."""
    raw, shrunken = ([cell for cell in cells if cell["of_shrunken"] == kind] for kind in (0, 1))
    by_raw, taken = _histogram(raw, 1, _MOST), [cell for cell in shrunken if cell["taken"]]
    step = int(np.searchsorted(np.cumsum(by_raw), 0.99 * sums.n_docs)) // (N_BINS - 1) + 1
    n_taken = sum(cell["n"] for cell in taken)
    return LanguageDensity(
        lang=lang,
        n_docs=sums.n_docs,
        n_tokens=sums.n_tokens,
        density=sums.n_pivot_tokens / max(sums.n_tokens, 1),
        n_taken=n_taken,
        cut=min((cell["least"] for cell in taken), default=None),
        bin_width=step * width,
        raw=tuple(_histogram(raw, step).tolist()),
        shrunken=tuple(_histogram(shrunken, step).tolist()),
        taken=tuple(_histogram(taken, step).tolist()),
        lengths=_lengths(raw, _raw_cut(by_raw, n_taken)),
        sample=sample,
    )


def _histogram(cells: Sequence[Row], step: int, n_bins: int = N_BINS) -> npt.NDArray[np.int64]:
    """Documents in bins of ``step`` fine bins each; the last one takes all that are beyond it."""
    counts = np.zeros(n_bins, np.int64)
    np.add.at(counts, [min(cell["bin"] // step, n_bins - 1) for cell in cells], [cell["n"] for cell in cells])
    return counts


def _raw_cut(by_raw: npt.NDArray[np.int64], n_taken: int) -> int:
    """The fine bin of the raw density from which on about as many documents lie as the pivot arm takes."""
    n_above = np.append(np.cumsum(by_raw[::-1])[::-1], 0)
    return int(np.argmin(np.abs(n_above - n_taken)))


def _lengths(raw: Sequence[Row], raw_cut: int) -> tuple[Row, ...]:
    n_docs, n_taken, n_by_raw = Counter[int](), Counter[int](), Counter[int]()
    for cell in raw:
        n_docs[cell["octave"]] += cell["n"]
        n_taken[cell["octave"]] += cell["n"] * cell["taken"]
        n_by_raw[cell["octave"]] += cell["n"] * (cell["bin"] >= raw_cut)
    return tuple(_BY_LENGTH(1 << at, n_docs[at], n_taken[at], n_by_raw[at]) for at in sorted(n_docs))


def _samples(marked: DataFrame, n_docs: dict[str, int]) -> DataFrame:
    """About N_SAMPLED documents of each language, drawn by the hash of their key."""
    draw = F.shiftrightunsigned(F.xxhash64("source", "doc_id", "shard", "record"), 11) / F.lit(float(1 << 53))
    drawn = F.lit(False)
    for lang, n in n_docs.items():
        drawn = drawn | ((F.col("lang") == lang) & (draw < min(1.0, N_SAMPLED / n)))
    densities = F.col("pivot_density").alias("density"), F.col(SHRUNKEN).alias("shrunken")
    return marked.where(drawn).select("lang", "n_tokens", *densities, "taken")


def _by_language(frame: DataFrame) -> dict[str, tuple[Row, ...]]:
    """The rows of a frame by ``lang``, in the order of their columns."""
    rows = sorted(frame.collect())
    return {lang: tuple(of_language) for lang, of_language in groupby(rows, key=lambda row: row["lang"])}
