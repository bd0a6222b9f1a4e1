"""What each arm holds, its token budget by language, and the tokens of each source in the arms."""

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from jobs.report.report_types import ArmContent
from jobs.selection.budgets import Budget, reported_budgets, taken
from pivot_udfs.arms import ARMS, PIVOT
from pivot_udfs.settings import Selection

N_SOURCES = 20
_SUMS = ("n_docs", "n_tokens", "n_pivot_tokens", "n_in_pivot")


def sums_by_source(marked: DataFrame, arms: Sequence[str]) -> DataFrame:
    """Sums over the documents of each language and source.

    Args:
        marked: ``document_scores`` with a boolean column for each arm.
        arms: their names.

    Returns:
        lang, source, and for ``corpus`` and each arm a struct of n_docs, n_tokens, n_pivot_tokens and n_in_pivot (those
        of its documents that the pivot arm has, too).
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
    return marked.groupBy("lang", "source").agg(*sums)


def sums_by_language(by_source: DataFrame, arms: Sequence[str]) -> list[Row]:
    """``sums_by_source`` without ``source``, languages in descending order of tokens."""
    sums = [F.struct(*(F.sum(f"{name}.{of}").alias(of) for of in _SUMS)).alias(name) for name in ("corpus", *arms)]
    return sorted(by_source.groupBy("lang").agg(*sums).collect(), key=lambda row: (-row.corpus.n_tokens, row.lang))


def read_arms(
    selection: Selection, languages: Sequence[Row], left_out: Mapping[str, tuple[int, int]]
) -> tuple[ArmContent, ...]:
    """What each arm holds and its budgets, in the order of ``selection.arms``.

    Args:
        selection: the rule and the arms.
        languages: from ``sums_by_language``.
        left_out: from ``unmatched``.
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
        title=ARMS[name].title,
        description=ARMS[name].description,
        n_docs=n_docs,
        n_tokens=n_tokens,
        density=n_pivot_tokens / max(n_tokens, 1),
        language_tokens={lang: row.n_tokens for lang, row in held.items()},
        n_in_pivot=n_in_pivot,
        budgets=tuple((budget, taken(budget, counts)) for budget in budgets if budget.arm == name),
        unmatched=left_out,
    )


def read_source_tokens(by_source: DataFrame, arms: Sequence[str]) -> tuple[Row, ...]:
    """Tokens of the N_SOURCES largest sources, in the corpus (``all``) and in each arm, from ``sums_by_source``."""
    sums = [F.sum("corpus.n_tokens").alias("all"), *(F.sum(f"{arm}.n_tokens").alias(arm) for arm in arms)]
    return tuple(by_source.groupBy("source").agg(*sums).orderBy(F.desc("all"), "source").limit(N_SOURCES).collect())
