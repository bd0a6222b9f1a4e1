"""The content of the report: ``read_report`` fills it, ``plots`` and ``render_page`` show it.

Rows are those of the queries: where a comment names columns, ``row.column`` has the value.
"""

from dataclasses import dataclass
from typing import NamedTuple

from pyspark.sql import Row

from jobs.selection.budgets import Budget
from jobs.warehouse.releases import Release
from pivot_udfs.provenance import Provenance
from pivot_udfs.write_report import Passage

N_PIVOTS_LISTED, N_PIVOTS_JUDGED = 30, 100
"""The best pivots: in the report's table, and those on which the verdict is given; figure and search have more."""
N_WORD_PAIRS_LISTED = 10
"""The strongest pairs in the table of two languages; the search has more."""


class Mix(NamedTuple):
    """Tokens by language, source or length."""

    kind: str
    rows: tuple[Row, ...]
    """key (of ``length``: k for documents of 2 ** k to 2 ** (k + 1) - 1 tokens), tokens in ``corpus`` and each arm,
    n_docs and langs in the corpus, and n_groups, the number of all groups: those with the most tokens."""
    distances: dict[str, float]
    """By arm: the share of its tokens, in [0, 1], that would have to be of other groups for the mix of the arm that it
    is compared with (total variation distance); not of empty arms."""


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
    sources: tuple[Row, ...]
    """source, langs, n_docs, n_tokens: the largest by tokens."""
    rejected: tuple[Row, ...]
    """reason, n_records, n_shards, examples, the most frequent reasons first; of each example shard, record (None for
    the whole shard), detail, raw (its beginning as text), source and doc_id (None where they are not known)."""


@dataclass(frozen=True)
class LanguagePair:
    """Two languages: how often their words co-occur, and the strongest pairs."""

    lang_a: str
    lang_b: str
    n_word_pairs: int
    """Distinct word pairs that co-occur."""
    n_concepts_linked: int
    """Concepts whose two words have at least one pivot."""
    pairs: tuple[Row, ...]
    """word_a, word_b, pair_count, doc_count, npmi, is_translation (they share a row of the lexicon)."""


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
    lengths: tuple[Row, ...]
    """n_tokens, n_docs, n_taken, n_by_raw: documents with at least ``n_tokens`` and less than twice as many tokens,
    those in the pivot arm, and those that it would have if it took as many documents by the raw density."""
    sample: tuple[Row, ...]
    """n_tokens, density, shrunken, taken: one row for each document of the scatter plots."""


@dataclass(frozen=True)
class ArmContent:
    """What one training set holds."""

    name: str
    n_docs: int
    n_tokens: int
    density: float
    n_in_pivot: int
    """Documents that are also in the pivot arm."""
    budgets: tuple[tuple[Budget, int], ...]
    """Each with what was taken of it; none under the rule ``threshold`` or where the pivot arm is not written."""
    unmatched: tuple[int, int] = (0, 0)
    """Strata, and the documents in them, that it leaves out because the arm that it is paired with finds no match."""


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
    pivots: tuple[Row, ...]
    """The columns of ``pivots``; ``pairs``: rows of lang_a, word_a, lang_b, word_b, the translation pairs with the
    highest scores; and of the best ``overlap``: the median, over the words that the token links, of the share of its
    documents in which it is near the word."""
    drift: tuple[int, float] | None
    """The newest release with another pivot set, and the share of the pivot set that differs; None if there is none."""
    densities: tuple[LanguageDensity, ...]
    arms: tuple[ArmContent, ...]
    compared: dict[str, str]
    """The arm that each arm is compared with."""
    mixes: tuple[Mix, ...]
    examples: tuple[tuple[Row, Passage], ...]
    """Documents of the pivot arm in DATASET with their ``arms``, each with its text or its densest passage."""
    tables: tuple[tuple[str, int, Provenance], ...]
    """Name, version and provenance of each table."""
    settings: dict[str, str]
    """Values by dotted key, of the settings that can change a table."""
    release: Release | None = None
    """The release that was asked for by its number; None: the newest tables."""
