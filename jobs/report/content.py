"""What the report says, as plain values: filled by ``data`` from the tables, drawn by ``plots`` and ``page``."""

from dataclasses import dataclass

from pivot_udfs.write_report import Passage


@dataclass(frozen=True)
class Source:
    """What one source gave in one language."""

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
    """What was got in one of them."""


@dataclass(frozen=True)
class Intake:
    """What went in."""

    n_shards: int
    n_docs: int
    n_tokens: int
    n_bytes: int | None
    """UTF-8 bytes of all texts, where the vocabulary tells them; None elsewhere."""
    n_quarantined: int
    n_sources: int
    sources: tuple[Source, ...]
    """The largest, by tokens."""
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True)
class WordPair:
    """Two words of different languages that stand near each other more often than chance has it."""

    word_a: str
    word_b: str
    pair_count: int
    doc_count: int
    docs_a: int
    docs_b: int
    npmi: float
    is_translation: bool
    """The lexicon has them as translations of each other."""


@dataclass(frozen=True)
class LanguagePair:
    """Two languages: how their words meet, and the strongest pairs."""

    lang_a: str
    lang_b: str
    n_word_pairs: int
    """Distinct word pairs that co-occur at all."""
    n_concepts_tied: int
    """Concepts whose two words have at least one pivot."""
    pairs: tuple[WordPair, ...]


@dataclass(frozen=True)
class Tie:
    """A translation pair that a pivot ties together."""

    lang_a: str
    word_a: str
    lang_b: str
    word_b: str


@dataclass(frozen=True)
class Pivot:
    """A corpus pivot, its reach, and some of what it ties; ``ties`` only for the best."""

    rank: int
    token: str
    score: float
    n_concepts: int
    n_language_pairs: int
    doc_share: float
    ties: tuple[Tie, ...]


@dataclass(frozen=True)
class LengthBin:
    """Documents of one language with at least ``n_tokens`` and less than twice as many tokens."""

    n_tokens: int
    n_docs: int
    n_taken: int
    """In the pivot arm."""
    n_by_raw: int
    """That the same number of documents, ranked by the raw density, would have."""


@dataclass(frozen=True)
class SampledDocument:
    """A point of the scatter plots."""

    n_tokens: int
    density: float
    shrunken: float
    taken: bool


@dataclass(frozen=True)
class LanguageDensity:
    """How dense one language's documents are; histograms have the bins [k w, (k + 1) w), the last one open."""

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
class Arm:
    """What one training set holds."""

    name: str
    n_docs: int
    n_tokens: int
    density: float
    language_tokens: dict[str, int]
    n_in_pivot: int
    """Documents that are in the pivot arm too."""


@dataclass(frozen=True)
class Example:
    """A selected document, or its densest passage."""

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
    """All of the page."""

    warehouse: str
    window: str
    association: str
    rule: str
    """How the pivot arm was cut, in words."""
    shrinkage_tokens: int
    min_doc_count: int
    """Of the word pairs shown."""
    n_pivots: int
    intake: Intake
    language_pairs: tuple[LanguagePair, ...]
    n_language_pairs: int
    pivots: tuple[Pivot, ...]
    densities: tuple[LanguageDensity, ...]
    arms: tuple[Arm, ...]
    examples: tuple[Example, ...]
    tables: tuple[TableNote, ...]
    settings: dict[str, str]
    """Dotted key to value, those that can change a table."""
