"""The content of the report as plain values: ``read_report`` fills them, ``plots`` and ``render_page`` show them."""

from dataclasses import dataclass

from jobs.selection.budgets import Budget
from pivot_udfs.write_report import Passage

N_PIVOTS_LISTED = 30
"""Pivots in the report's table; the figure shows more."""


@dataclass(frozen=True)
class Source:
    """Documents of one source in one language."""

    lang: str
    source: str
    n_docs: int
    n_tokens: int


@dataclass(frozen=True)
class Rejected:
    """The records that went to quarantine for one reason."""

    reason: str
    meaning: str
    n_records: int
    n_shards: int
    example: str
    """The detail of one of them."""


@dataclass(frozen=True)
class Intake:
    """What was read."""

    n_shards: int
    n_docs: int
    n_tokens: int
    n_bytes: int | None
    """UTF-8 bytes of all texts; None if the vocabulary does not give the bytes of its tokens."""
    n_quarantined: int
    n_sources: int
    sources: tuple[Source, ...]
    """The largest by tokens."""
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True)
class WordPair:
    """Two words of different languages that co-occur more often than by chance."""

    word_a: str
    word_b: str
    pair_count: int
    doc_count: int
    docs_a: int
    docs_b: int
    npmi: float
    is_translation: bool
    """Whether they are in one row of the lexicon."""


@dataclass(frozen=True)
class LanguagePair:
    """Two languages: how often their words co-occur, and the strongest pairs."""

    lang_a: str
    lang_b: str
    n_word_pairs: int
    """Distinct word pairs that co-occur."""
    n_concepts_linked: int
    """Concepts whose two words have at least one pivot."""
    pairs: tuple[WordPair, ...]


@dataclass(frozen=True)
class LinkedPair:
    """A translation pair that a pivot links."""

    lang_a: str
    word_a: str
    lang_b: str
    word_b: str


@dataclass(frozen=True)
class Pivot:
    """A corpus pivot and its reach."""

    rank: int
    token: str
    score: float
    n_concepts: int
    n_language_pairs: int
    doc_share: float
    pairs: tuple[LinkedPair, ...]
    """Translation pairs with the highest scores; empty except for the best pivots."""


@dataclass(frozen=True)
class LengthBin:
    """Documents of one language with at least ``n_tokens`` and less than twice as many tokens."""

    n_tokens: int
    n_docs: int
    n_taken: int
    """In the pivot arm."""
    n_by_raw: int
    """That the pivot arm would have if it took as many documents by the raw density."""


@dataclass(frozen=True)
class SampledDocument:
    """A point of the scatter plots."""

    n_tokens: int
    density: float
    shrunken: float
    taken: bool


@dataclass(frozen=True)
class LanguageDensity:
    """Densities of one language's documents; histogram bins are [k w, (k + 1) w), the last one has no upper limit."""

    lang: str
    n_docs: int
    n_tokens: int
    density: float
    """Pivot tokens / tokens of the whole language."""
    n_taken: int
    cut: float | None
    """The smallest shrunken density in the pivot arm; None where it has no document."""
    bin_width: float
    """w, of the histograms."""
    raw: tuple[int, ...]
    shrunken: tuple[int, ...]
    taken: tuple[int, ...]
    """Of ``shrunken``, those in the pivot arm."""
    lengths: tuple[LengthBin, ...]
    sample: tuple[SampledDocument, ...]


@dataclass(frozen=True)
class SourceTokens:
    """Tokens of one source in the corpus and in each arm."""

    source: str
    n_tokens: int
    arm_tokens: dict[str, int]


@dataclass(frozen=True)
class ArmContent:
    """What one training set holds."""

    name: str
    title: str
    description: str
    n_docs: int
    n_tokens: int
    density: float
    language_tokens: dict[str, int]
    n_in_pivot: int
    """Documents that are also in the pivot arm."""
    budgets: tuple[tuple[Budget, int], ...]
    """Each with what was taken of it; none under the rule ``threshold`` or where the pivot arm is not written."""


@dataclass(frozen=True)
class Example:
    """A document of the pivot arm, or its densest passage."""

    source: str
    doc_id: str
    lang: str
    n_tokens: int
    density: float
    passage: Passage


@dataclass(frozen=True)
class TableNote:
    """What made a table."""

    name: str
    version: int
    job: str
    code_version: str
    fingerprint: str
    inputs: dict[str, int]
    files: dict[str, str]


@dataclass(frozen=True)
class Report:
    """Everything that the page shows."""

    warehouse: str
    window: str
    association: str
    rule: str
    """How the pivot arm is cut, in words."""
    shrinkage_tokens: int
    min_doc_count: int
    """Smallest doc_count of the word pairs shown."""
    n_pivots: int
    intake: Intake
    language_pairs: tuple[LanguagePair, ...]
    n_language_pairs: int
    pivots: tuple[Pivot, ...]
    densities: tuple[LanguageDensity, ...]
    arms: tuple[ArmContent, ...]
    source_tokens: tuple[SourceTokens, ...]
    """The largest sources."""
    examples: tuple[Example, ...]
    tables: tuple[TableNote, ...]
    settings: dict[str, str]
    """Values by dotted key, of the settings that can change a table."""
