"""The sections of a run's settings that choose tokens and documents."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pivot_udfs.arms import DEFAULT_ARMS, known_arm
from pivot_udfs.counting.associations import MEASURES, known_measure
from pivot_udfs.schemas import N_SOURCE_GROUPS
from pivot_udfs.setting_sections.setting_types import NO_RESULT, Count, Language, Long, Once, Section, Share

ArmName = Annotated[str, AfterValidator(known_arm)]
"""An arm in ``pivot_udfs.arms.ARMS``."""


class Pivots(Section):
    """Which tokens are pivots."""

    association: Annotated[str, AfterValidator(known_measure)] = "npmi"
    """The measure of association between a word and a token: ``npmi`` (normalized pointwise mutual information),
    ``lift_difference`` (the difference of shares of documents), or ``llr`` (Dunning's log-likelihood ratio)."""
    pivots_per_pair: Count = 50
    """Pivots kept for each word pair, the best ones."""
    min_score: float | None = None
    """A pair pivot's score must exceed it; unset: 0.15 for npmi, 0 otherwise."""
    min_doc_count: Count = 5
    """Documents in which the token must co-occur with each of the two words."""
    min_word_doc_count: Count = 10
    """A word must be in this many documents for its pairs to have pivots."""
    max_doc_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Tokens in a larger share of all documents are background and never pivots."""
    min_word_share: Share = 0.5
    """A pivot is a whole word in this share of its occurrences; 0 admits pieces of words."""
    min_concepts: Count = 2
    """Concepts that a pivot must serve."""
    min_sources: Annotated[int, Field(ge=1, le=N_SOURCE_GROUPS)] = 1
    """Groups of sources in which a pivot must occur: sources are counted in 32 groups, by their hash."""
    n_pivots: Count = 1000
    """Number of corpus pivots, the best ones."""
    rank_by: Literal["score", "votes"] = "score"
    """What makes a corpus pivot better: the sum of its pair scores; or of each pair score divided by the number of the
    pair's pivots, so that a repeated template, which gives its words many pivots, counts less."""
    half_seed: Annotated[int, Long] = 0
    """Seed of the random split of the concepts into the halves A and B, see ``half_balance``."""

    @field_validator("min_score")
    @classmethod
    def _can_be_exceeded(cls, score: float | None, info: ValidationInfo) -> float | None:
        measure = MEASURES.get(name := info.data.get("association", ""))
        if score is not None and measure and measure.is_bounded and not -1 <= score < 1:
            raise ValueError(f"{name} is in [-1, 1] and must exceed it: -1 <= min_score < 1 is allowed")
        return score

    @property
    def score_floor(self) -> float:
        """The ``min_score`` in force."""
        return MEASURES[self.association].min_score if self.min_score is None else self.min_score


class Refresh(Section):
    """When pivots and the cuts of the arms are decided anew.

    In between they stay, and new documents are scored and chosen by them. Where they were made with other settings,
    they are always decided anew.
    """

    rule: Literal["always", "on_drift", "on_request"] = Field(default="always", json_schema_extra=NO_RESULT)
    """In each run with changed documents, where the drift exceeds ``max_drift``, or by ``rebuild_corpus --refresh``
    only."""
    max_drift: Annotated[float, Field(ge=0, le=1)] = Field(default=0.05, json_schema_extra=NO_RESULT)
    """With ``rule = "on_drift"``: the largest share of the pivot set that may differ from the one of today's counts."""


class Selection(Section):
    """Which documents become datasets."""

    rule: Literal["top_share", "threshold", "token_budget"] = "top_share"
    """How the pivot arm is cut: the best share of each language's tokens, all above a density, or a budget."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """With ``rule = "top_share"``: the share of each language's tokens that is taken."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.1
    """With ``rule = "threshold"``: the smallest shrunken density that is taken."""
    tokens: Annotated[int, Long, Field(ge=1)] = 1_000_000
    """With ``rule = "token_budget"``: the number of tokens taken."""
    language_quotas: dict[Language, Annotated[float, Field(ge=0, le=1)]] = Field(default={})
    """With ``rule = "token_budget"``: each language's share of the tokens, at most 1 in all; empty: the corpus'."""
    shrinkage_tokens: Annotated[int, Field(ge=0, le=(1 << 31) - 1)] = 500
    """The k in the shrunken density (n_pivot_tokens + k m) / (n_tokens + k) that ranks documents; m is the mean density
    of the document's language."""
    bilingual_languages: Annotated[list[Language], Field(min_length=1), Once] = Field(default=["mul"])
    """The values of ``lang`` that mark bilingual documents, which the arm ``parallel`` takes."""
    arms: Annotated[list[ArmName], Field(min_length=1), Once] = Field(default=list(DEFAULT_ARMS))
    """Which datasets are written; ``pivot_udfs.arms`` defines them."""
    half_share: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """The largest share of the documents of a language, source and length that each of ``half_a`` and ``half_b``
    takes."""
    swap_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The share of the lexicon words of ``lexicon_swap`` that is replaced by translations."""
    seed: Annotated[int, Long] = 0
    """Seed of the random draws of documents, also among equals, and of the words that ``lexicon_swap`` replaces."""

    @model_validator(mode="after")
    def _quotas_fit(self) -> "Selection":
        if self.language_quotas and self.rule != "token_budget":
            raise ValueError(f"language_quotas go with rule = 'token_budget', got rule = {self.rule!r}")
        if sum(self.language_quotas.values()) > 1 + 1e-9:
            raise ValueError(f"language_quotas sum to {sum(self.language_quotas.values()):.3f}, at most 1 is allowed")
        return self
