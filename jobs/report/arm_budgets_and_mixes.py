"""What each arm holds, its token budget by language, and how the arms differ in languages, sources and lengths."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from jobs.report.report_types import ArmContent, Mix
from jobs.selection.budgets import Budget, reported_budgets, taken
from pivot_udfs.arms import ARMS, PIVOT
from pivot_udfs.settings import Selection

N_GROUPS = 20
"""Languages, sources and lengths in the report's tables."""
_SUMS = ("n_docs", "n_tokens", "n_pivot_tokens", "n_in_pivot")
_KINDS = {"language": "lang", "source": "source", "length": "octave"}


def octave() -> Column:
    """The k for which a document has 2 ** k to 2 ** (k + 1) - 1 tokens; 0 also for empty ones."""
    return F.floor(F.log2(F.greatest("n_tokens", F.lit(1)))).cast("int").alias("octave")


def sums_by_group(marked: DataFrame, arms: Sequence[str]) -> DataFrame:
    """Sums over the documents of each language, source and octave of length.

    ``marked`` is ``document_scores`` with a boolean column for each arm. Columns: lang, source, octave, and for
    ``corpus`` and each arm a struct of n_docs, n_tokens, n_pivot_tokens and n_in_pivot (those of its documents that the
    pivot arm has, too).
    """
    in_pivot = F.col(PIVOT) if PIVOT in arms else F.lit(False)
    members = {"corpus": F.lit(True)} | {arm: F.col(arm) for arm in arms}
    sums = [
        F.struct(
            F.count_if(member).alias("n_docs"),
            F.sum(F.when(member, F.col("n_tokens")).otherwise(0)).alias("n_tokens"),
            F.sum(F.when(member, F.col("n_pivot_tokens")).otherwise(0)).alias("n_pivot_tokens"),
            F.count_if(member & in_pivot).alias("n_in_pivot"),
        ).alias(name)
        for name, member in members.items()
    ]
    return marked.groupBy("lang", "source", octave()).agg(*sums)


def sums_by_language(by_group: DataFrame, arms: Sequence[str]) -> list[Row]:
    """``sums_by_group`` of whole languages, in descending order of tokens."""
    sums = [F.struct(*(F.sum(f"{name}.{of}").alias(of) for of in _SUMS)).alias(name) for name in ("corpus", *arms)]
    return sorted(by_group.groupBy("lang").agg(*sums).collect(), key=lambda row: (-row.corpus.n_tokens, row.lang))


def read_arms(
    selection: Selection, languages: Sequence[Row], left_out: Mapping[str, tuple[int, int]]
) -> tuple[ArmContent, ...]:
    """What each arm holds and its budgets, in the order of ``selection.arms``.

    ``languages`` are from ``sums_by_language``, ``left_out`` from ``unmatched``.
    """
    held = {arm: {row.lang: row[arm] for row in languages if row[arm].n_docs} for arm in selection.arms}
    counts = {arm: {lang: (row.n_docs, row.n_tokens) for lang, row in of_arm.items()} for arm, of_arm in held.items()}
    language_tokens = {row.lang: row.corpus.n_tokens for row in languages}
    budgets = reported_budgets(selection, language_tokens, counts) if PIVOT in held else []
    return tuple(_arm(arm, of_arm, budgets, left_out.get(arm, (0, 0))) for arm, of_arm in held.items())


def _arm(name: str, held: dict[str, Row], budgets: Sequence[Budget], left_out: tuple[int, int]) -> ArmContent:
    counts = {lang: (row.n_docs, row.n_tokens) for lang, row in held.items()}
    n_docs, n_tokens, n_pivot_tokens, n_in_pivot = (sum(row[of] for row in held.values()) for of in _SUMS)
    return ArmContent(
        name=name,
        n_docs=n_docs,
        n_tokens=n_tokens,
        density=n_pivot_tokens / max(n_tokens, 1),
        n_in_pivot=n_in_pivot,
        budgets=tuple((budget, taken(budget, counts)) for budget in budgets if budget.arm == name),
        unmatched=left_out,
    )


def compared_arms(arms: Sequence[str]) -> dict[str, str]:
    """The arm that each is compared with: the other one of its pair, else the pivot arm. A pair is listed once.

    Arms that are copies have the documents of another arm, and are not compared.
    """
    pairs: dict[str, str] = {}
    for name in arms:
        other = ARMS[name].pair if ARMS[name].pair in arms else PIVOT
        if other in arms and name != other and pairs.get(str(other)) != name and not ARMS[name].copy_of:
            pairs[name] = str(other)
    return pairs


def read_mixes(by_group: DataFrame, languages: Sequence[Row], arms: Sequence[str]) -> tuple[Mix, ...]:
    """Tokens by language, source and length, in the corpus and in each arm, and how far compared arms differ in them.

    ``by_group`` is from ``sums_by_group``, ``languages`` are from ``sums_by_language``.
    """
    keys = [
        F.struct(F.lit(kind).alias("kind"), F.col(column).cast("string").alias("key"))
        for kind, column in _KINDS.items()
    ]
    names = ("corpus", *arms)
    sums = (F.sum(f"{name}.n_tokens").alias(name) for name in names)
    of_corpus = F.sum("corpus.n_docs").alias("n_docs"), F.array_sort(F.collect_set("lang")).alias("langs")
    groups = by_group.withColumn("of", F.explode(F.array(*keys))).groupBy("of.kind", "of.key").agg(*sums, *of_corpus)
    whole = Window.partitionBy("kind")
    totals = {name: sum(row[name].n_tokens for row in languages) for name in names}
    compared = {arm: other for arm, other in compared_arms(arms).items() if totals[arm] and totals[other]}
    share = {name: F.col(name) / totals[name] for name in {*compared, *compared.values()}}
    apart = ((F.sum(F.abs(share[a] - share[b])).over(whole) / 2).alias(a) for a, b in compared.items())
    place = F.row_number().over(whole.orderBy(F.desc("corpus"), "key")).alias("place")
    ranked = groups.select("*", place, F.count("*").over(whole).alias("n_groups"), F.struct(*apart).alias("apart"))
    rows = sorted(ranked.where(F.col("place") <= N_GROUPS).collect(), key=lambda row: row["place"])
    of_kinds = {kind: tuple(row for row in rows if row["kind"] == kind) for kind in _KINDS}
    return tuple(Mix(kind, shown, shown[0].apart.asDict() if shown else {}) for kind, shown in of_kinds.items())
