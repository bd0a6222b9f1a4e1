"""Which documents each arm takes, decided on keys and scores alone.

``decide_cuts`` needs the scores of all documents. Whether an arm takes a document then follows from its own row and the
cuts, so that documents which are added later can join the arms without another look at the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.selection.budgeted_sample import Cut, Draw, mark, take
from jobs.selection.budgets import Held, control_budgets, count_strata, language_budgets, stratum
from jobs.selection.shrunken_density import SHRUNKEN, language_densities, language_sums, with_shrunken_density
from pivot_udfs.arms import ARMS, PIVOT, Arm
from pivot_udfs.settings import Selection

_KEPT = ("shard", "record", "pivot_density", SHRUNKEN)


@dataclass(frozen=True)
class Cuts:
    """What decides whether an arm takes a document: the content of ``selection_cuts``."""

    cuts: Sequence[Cut]
    """Where each arm ends in each stratum; the pivot arm, and arms that others are paired with, are always included."""
    densities: Mapping[str, float]
    """Pivot tokens / tokens of each language, to which the densities of its documents are shrunken."""

    @property
    def density_cuts(self) -> dict[str, float]:
        """The shrunken density at which the pivot arm ends, by language; not of languages that fit entirely."""
        return {cut.stratum: 1 - cut.value for cut in self.cuts if cut.arm == PIVOT and cut.value is not None}

    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``selection_cuts``."""
        return [cut._asdict() | {"language_density": self._density(cut)} for cut in self.cuts]

    def _density(self, cut: Cut) -> float | None:
        return self.densities.get(cut.stratum) if ARMS[cut.arm].stratum == ("lang",) else None

    @classmethod
    def from_rows(cls, rows: Iterable[Any]) -> "Cuts":
        """The cuts in rows of ``selection_cuts``."""
        rows = list(rows)
        densities = {row["stratum"]: row["language_density"] for row in rows if row["arm"] == PIVOT}
        cuts = [Cut(*(row[name] for name in Cut._fields)) for row in rows]
        return cls(cuts, {lang: density for lang, density in densities.items() if density is not None})


def decide_cuts(scores: DataFrame, selection: Selection) -> Cuts:
    """Where the configured arms end in the table ``document_scores``."""
    languages = language_sums(scores)
    corpus = {row["lang"]: row["n_tokens"] for row in languages}
    arms = [ARMS[name] for name in decided_arms(selection)]
    by_rule = [arm for arm in arms if arm.budget == "rule"]
    controls = [arm for arm in arms if arm.budget == "pivot_arm"]
    ranked = with_shrunken_density(scores, language_densities(languages), selection.shrinkage_tokens)
    marked, cuts = _take_by_rule(ranked, by_rule, corpus, selection)
    return Cuts(
        [*cuts, *(_cut_controls(marked, controls, selection) if controls else [])], language_densities(languages)
    )


def select_documents(scores: DataFrame, cuts: Cuts, selection: Selection) -> DataFrame:
    """The documents that the configured arms take of some scores, by ``decide_cuts`` with the same settings.

    One row each: shard, record, pivot_density, shrunken_density, and a boolean column for each arm.
    """
    marked = mark_documents(scores, cuts, selection, selection.arms)
    return marked.select(*_KEPT, *selection.arms).where(reduce(or_, map(F.col, selection.arms)))


def count_arms(scores: DataFrame, cuts: Cuts, selection: Selection, arms: Sequence[str]) -> dict[str, Held]:
    """What arms take of some scores by ``decide_cuts`` with the same settings."""
    sums = [F.struct(F.count_if(arm), F.sum(F.when(F.col(arm), F.col("n_tokens")))).alias(arm) for arm in arms]
    rows = mark_documents(scores, cuts, selection, arms).groupBy("lang").agg(*sums).collect()
    return {arm: {row["lang"]: (row[arm][0], row[arm][1]) for row in rows if row[arm][0]} for arm in arms}


def count_chosen(chosen: DataFrame, arms: Sequence[str]) -> dict[str, int]:
    """How many of the documents of ``select_documents`` each arm takes.

    They are selected a second time: Spark's ``Observation`` of the first pass counts repeated tasks twice, and fails
    where nothing is chosen.
    """
    counts: dict[str, int] = chosen.agg(*(F.count_if(arm).alias(arm) for arm in arms)).collect()[0].asDict()
    return counts


def decided_arms(selection: Selection) -> list[str]:
    """The arms that are cut: the pivot arm first, which others refer to, the configured ones and their pairs."""
    drawn = _drawn(selection.arms)
    return list(dict.fromkeys((*drawn, *(pair for name in drawn if (pair := ARMS[name].pair)))))


def _drawn(arms: Sequence[str]) -> list[str]:
    """The pivot arm first, then the others; in place of an altered copy the arm that it is a copy of."""
    return list(dict.fromkeys((PIVOT, *(ARMS[name].copy_of or name for name in arms))))


def mark_documents(scores: DataFrame, cuts: Cuts, selection: Selection, arms: Sequence[str]) -> DataFrame:
    """Some scores with ``shrunken_density`` and a boolean column for each of ``arms`` and the pivot arm."""
    ranked = with_shrunken_density(scores, cuts.densities, selection.shrinkage_tokens)
    marked = mark(ranked, [_draw(ARMS[name], {}, selection) for name in _drawn(arms)], cuts.cuts)
    copies = (F.col(of).alias(name) for name in arms if (of := ARMS[name].copy_of))
    return marked.select("*", *copies)


def _take_by_rule(
    ranked: DataFrame, arms: Sequence[Arm], language_tokens: Mapping[str, int], selection: Selection
) -> tuple[DataFrame, list[Cut]]:
    if selection.rule == "threshold":
        cuts = [Cut(arm.name, lang, value=1 - selection.threshold) for arm in arms for lang in language_tokens]
        return mark(ranked, [_draw(arm, {}, selection) for arm in arms], cuts), cuts
    budgets = language_budgets(selection, language_tokens)
    return take(ranked, [_draw(arm, budgets, selection) for arm in arms])


def _cut_controls(marked: DataFrame, arms: Sequence[Arm], selection: Selection) -> list[Cut]:
    draws = [_draw(arm, {}, selection) for arm in arms]
    strata = count_strata(marked, draws)
    budgets = control_budgets(strata, selection)
    filled = {name: {of: amount for of, amount in of_arm.items() if amount} for name, of_arm in budgets.items()}
    _, cuts = take(marked, [replace(draw, budgets=filled[draw.name]) for draw in draws])
    cuts += [Cut(name, of, 0) for name, of_arm in budgets.items() for of in of_arm if of not in filled[name]]
    return [cut._replace(n_candidates=strata[cut.arm][cut.stratum].n_candidates) for cut in cuts]


def _draw(arm: Arm, budgets: Mapping[str, int], selection: Selection) -> Draw:
    tie = F.xxhash64(F.lit(arm.name), F.lit(selection.seed), F.col("source"), F.col("doc_id"))
    value = F.expr(arm.order) if arm.order else _uniform(tie)
    weight = F.lit(1) if arm.unit == "documents" else F.col("n_tokens")
    return Draw(arm.name, stratum(arm), value, tie, weight, budgets, _may_be_taken(arm, selection))


def _may_be_taken(arm: Arm, selection: Selection) -> Column:
    may_be_taken = F.expr(arm.predicate(selection.bilingual_languages, selection.seed))
    if arm.budget == "rule" and selection.rule == "threshold":
        return may_be_taken & (F.col(SHRUNKEN) >= selection.threshold)
    return may_be_taken


def _uniform(hashed: Column) -> Column:
    """A uniform number in [0, 1) by a hash (bigint)."""
    return F.shiftrightunsigned(hashed, 11) / F.lit(float(1 << 53))
