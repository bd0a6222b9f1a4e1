"""The registry of arms: the training sets that ``filter_documents`` can write.

A new arm is one entry in ``ARMS``. Settings, selection, budgets, both reports and the model side read the registry, so
none of them changes. Expressions are Spark SQL over the columns of ``document_scores``, ``shrunken_density``, and
``pivot``: whether the pivot arm takes the document.
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

    Raises ValueError where the name is not an identifier or is reserved, or an arm cut by the rule is one of a pair or
    has other strata than languages, which is what the rule's budgets are for.
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
    """Expressions whose values together make a stratum, each with a budget of its own; none: one stratum.

    A source is named as ``source`` alone, by which the cuts of a forgotten source are found; other values have no "/".
    """
    budget: Literal["rule", "pivot_arm"] = "pivot_arm"
    """Where token budgets come from: ``selection.rule``, or what the pivot arm holds of the same stratum."""
    pair: str | None = None
    """The other arm of a pair, which has the same strata and names this one. Both take as many documents of a stratum
    as the smaller one has, or fewer where documents share a key: these are taken together or not at all."""
    share: Literal["half_share"] | None = None
    """For arms of a pair: the key of ``[selection]`` with the largest share of a stratum that each takes."""
    copy_of: str | None = None
    """The arm whose documents it takes, with ``selection.swap_rate`` of the lexicon words replaced by translations."""
    order: str | None = None
    """Expression in [0, 1]: documents with lower values come first in their stratum. None: a draw by
    ``selection.seed``."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name) or self.name in _RESERVED:
            reserved = ", ".join(sorted(_RESERVED))
            raise ValueError(f"{self.name!r} cannot name an arm: lower-case letters, digits and _, but not {reserved}")
        if self.budget == "rule" and (self.stratum, self.pair) != (("lang",), None):
            raise ValueError(f"arm {self.name}: budgets of selection.rule are tokens by language")

    @property
    def unit(self) -> Literal["tokens", "documents"]:
        """What a budget counts."""
        return "documents" if self.pair or self.copy_of else "tokens"

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
"""Four bins an octave: lengths are those of the other arm to within a factor of 2 ** (1 / 4)."""
_ALIKE = ("lang", "source", _LENGTH_BIN)
_WORDS_ALIKE = (*_ALIKE, "floor(100 * word_share)")

ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(
            PIVOT,
            "Pivot-rich documents",
            "The documents of each language with the highest shrunken pivot density, cut by selection.rule.",
            budget="rule",
            order="1 - shrunken_density",
        ),
        Arm(
            "pivot_matched",
            "Pivot-rich documents with a match",
            "A random sample of the pivot arm with as many documents of each language, source and length as matched.",
            documents=PIVOT,
            stratum=_ALIKE,
            pair="matched",
        ),
        Arm(
            "matched",
            "Matched control",
            "A random sample of the other documents with as many of each language, source and length as pivot_matched.",
            documents=f"NOT {PIVOT}",
            stratum=_ALIKE,
            pair="pivot_matched",
        ),
        Arm(
            "random",
            "Random control",
            "A random sample of the documents that are not in the pivot arm, with as many tokens of each language.",
            documents=f"NOT {PIVOT}",
        ),
        Arm(
            "parallel",
            "Bilingual control",
            "A random sample of bilingual documents (selection.bilingual_languages) that are not in the pivot arm, at "
            "most as many tokens.",
            documents=f"lang IN ({{bilingual_languages}}) AND NOT {PIVOT}",
            stratum=(),
        ),
        Arm(
            "code_switched",
            "Code-switched control",
            "The documents of each language with the highest foreign_share, their share of words in another kind of "
            "script, that are neither bilingual nor in the pivot arm; at most as many tokens as the pivot arm has.",
            documents=f"foreign_share > 0 AND lang NOT IN ({{bilingual_languages}}) AND NOT {PIVOT}",
            order="1 - foreign_share",
        ),
        Arm(
            "half_a",
            "Pivots of half A's concepts",
            "The documents of each language, source and length with the highest half_balance: their pivots serve the "
            "concepts of the random half A rather than those of half B.",
            documents="half_balance > 0",
            stratum=_ALIKE,
            pair="half_b",
            share="half_share",
            order="(1 - half_balance) / 2",
        ),
        Arm(
            "half_b",
            "Pivots of half B's concepts",
            "The documents with the lowest half_balance, as many of each language, source and length as half_a has.",
            documents="half_balance < 0",
            stratum=_ALIKE,
            pair="half_a",
            share="half_share",
            order="(1 + half_balance) / 2",
        ),
        Arm(
            "pivot_word_matched",
            "Pivot-rich documents with a match in words",
            "A random sample of the pivot arm with as many documents of each language, source, length and percentage "
            "of lexicon words as word_matched.",
            documents=PIVOT,
            stratum=_WORDS_ALIKE,
            pair="word_matched",
        ),
        Arm(
            "word_matched",
            "Control matched in words",
            "A random sample of the other documents with as many of each language, source, length and percentage of "
            "lexicon words as pivot_word_matched: they differ in pivots, not in the words that are tested.",
            documents=f"NOT {PIVOT}",
            stratum=_WORDS_ALIKE,
            pair="pivot_word_matched",
        ),
        Arm(
            "lexicon_swap",
            "Matched control with translated words",
            "The documents of matched, in which selection.swap_rate of the lexicon words are replaced by translations.",
            copy_of="matched",
        ),
    )
}
"""The known arms by name, in the order of the reports."""
DEFAULT_ARMS = (PIVOT, "pivot_matched", "matched", "random", "parallel")
"""The arms that are written unless ``selection.arms`` names others."""


def known_arm(name: str) -> str:
    """The name, if an arm has it; else raises ValueError, whose message lists those that exist."""
    if name not in ARMS:
        raise ValueError(f"is not a known arm; known arms: {', '.join(map(repr, ARMS))}")
    return name


def known_contrast(text: str) -> str:
    """The text, if it is ``<treatment>-<control>``, two different known arms; else raises ValueError."""
    if len({known_arm(arm) for arm in arms_of(text)}) != 2 or text.count("-") > 1:
        raise ValueError(f"{text!r} is not <treatment>-<control>, two different arms")
    return text


def arms_of(contrast: str) -> list[str]:
    """Treatment and control."""
    return contrast.split("-")


CROSSOVER = "half_a-half_b"
"""The contrast of the two halves of the concepts."""
