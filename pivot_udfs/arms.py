"""The registry of arms: the training sets that ``filter_documents`` can write.

A new arm is one entry in ``ARMS``. Settings, selection, budgets, both reports and the model side read the registry, so
none of them changes. Expressions are Spark SQL over the columns of ``document_scores`` and ``shrunken_density``.
"""

import re
from dataclasses import dataclass
from typing import Literal

from pivot_udfs.schemas import DATASET, DOCUMENT_SCORES

_RESERVED = {*DATASET.names, *DOCUMENT_SCORES.names, "file", "task", "taken", "arm"}
_RESERVED |= {"all", "corpus", "held_out"}
"""Columns of the selection and the report, and names that the report and the model side use beside those of arms."""


@dataclass(frozen=True)
class Arm:
    """How one training set is chosen.

    Raises ValueError where the name is not an identifier or is reserved, or an arm cut by the rule has other strata
    than languages, which is what the rule's budgets are for.
    """

    name: str
    """In ``selection.arms``, ``datasets/<name>`` and ``packing.arm``: lower-case letters, digits and ``_``."""
    title: str
    """A few words, for the reports."""
    description: str
    """One sentence, for the corpus report: which documents these are and what the arm is for."""
    documents: str = "true"
    """Predicate: the documents it may take. ``{bilingual_languages}`` and ``{seed}`` stand for SQL literals."""
    stratum: tuple[str, ...] = ("lang",)
    """Expressions whose values together make a stratum, each with a budget of its own; none: one stratum."""
    unit: Literal["tokens", "documents"] = "tokens"
    """What a budget counts."""
    budget: Literal["rule", "pivot_arm"] = "pivot_arm"
    """Where budgets come from: ``selection.rule``, or what the pivot arm holds of the same stratum."""
    order: Literal["density", "hash"] = "hash"
    """Which documents of a stratum come first: the densest, or a draw by ``selection.seed``."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name) or self.name in _RESERVED:
            reserved = ", ".join(sorted(_RESERVED))
            raise ValueError(f"{self.name!r} cannot name an arm: lower-case letters, digits and _, but not {reserved}")
        if self.budget == "rule" and (self.stratum, self.unit) != (("lang",), "tokens"):
            raise ValueError(f"arm {self.name}: budgets of selection.rule are tokens by language")

    @property
    def by_language(self) -> bool:
        """Whether each stratum lies in one language, so that budgets can be reported by language."""
        return "lang" in self.stratum

    def predicate(self, bilingual_languages: list[str], seed: int) -> str:
        """``documents`` with the values of the settings of the same names in it."""
        languages = ", ".join(f"'{language}'" for language in bilingual_languages)
        return self.documents.format(bilingual_languages=languages, seed=seed)


PIVOT = "pivot"
"""The arm that the others are controls of."""
_LENGTH_BIN = "floor(log2(n_tokens + 1) * 4)"
"""Four bins an octave: lengths are those of the pivot arm to within a factor of 2 ** (1 / 4)."""

ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(
            PIVOT,
            "Pivot-rich documents",
            "The documents of each language with the highest shrunken pivot density, cut by selection.rule.",
            budget="rule",
            order="density",
        ),
        Arm(
            "random",
            "Random control",
            "A random sample of all documents with as many tokens of each language as the pivot arm.",
        ),
        Arm(
            "matched",
            "Length-matched control",
            "A random sample with as many documents of each language and length as the pivot arm.",
            stratum=("lang", _LENGTH_BIN),
            unit="documents",
        ),
        Arm(
            "parallel",
            "Bilingual control",
            "A random sample of bilingual documents (selection.bilingual_languages) with at most as many tokens as the "
            "pivot arm.",
            documents="lang IN ({bilingual_languages})",
            stratum=(),
        ),
    )
}
"""The known arms by name, in the order of the reports."""


def known_arm(name: str) -> str:
    """The name, if an arm has it; else raises ValueError, whose message lists those that exist."""
    if name not in ARMS:
        raise ValueError(f"is not a known arm; known arms: {', '.join(map(repr, ARMS))}")
    return name
