"""The registry of tables: a table is one entry with its maker, description and columns.

Spark's schema, delta-rs's, the tables' metadata and ``docs/tables.md`` are derived from it. Column names are the
contract. Counts are 64-bit integers.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Table:
    """A table of the warehouse; the entries below are the registry."""

    maker: str
    """The job that writes it."""
    description: str
    schema: pa.Schema
    pinned: bool
    """Whether only a refresh decides it anew: between refreshes its rows stay, see ``settings.Refresh``."""


TABLES: dict[str, Table] = {}
"""Every table by name, in the order of the pipeline; those of the arms, ``datasets/<arm>``, share one entry."""
DATASETS = "datasets/<arm>"
BLOCK_LIST = "blocked"
"""There only once ``forget_documents`` has run."""


def table_of(name: str) -> Table:
    """The entry of a table, such as ``documents`` or ``datasets/pivot``."""
    return TABLES.get(name) or TABLES[DATASETS]


def made_by(job: str) -> tuple[str, ...]:
    """The names of the tables that a job writes, but for datasets."""
    return tuple(name for name, table in TABLES.items() if table.maker == job and name != DATASETS)


def _table(name: str, maker: str, description: str, *columns: "pa.Field[Any]", pinned: bool = False) -> pa.Schema:
    TABLES[name] = Table(maker, description, pa.schema(columns), pinned)
    return TABLES[name].schema


def _column(kind: pa.DataType, name: str, comment: str, nullable: bool = False) -> "pa.Field[Any]":
    return pa.field(name, kind, nullable, {"comment": comment})


_string, _long, _int, _double = (partial(_column, kind) for kind in (pa.string(), pa.int64(), pa.int32(), pa.float64()))

_KEY = [
    _string("source", "The record's source, otherwise the shard's file name without its extension."),
    _string("doc_id", "The record's id, unique within its source."),
]
_PLACE = [
    _string("shard", "The input file, as listed."),
    _long("record", "The record's number within its shard, from 0. (shard, record) is always unique."),
]
_LANG = _string("lang", "ISO 639-1 code where there is one; mul for several languages in one text.")
_N_TOKENS = _long("n_tokens", "Number of tokens.")
_IDS = pa.list_(pa.field("element", pa.int32(), nullable=False))
_CONTENT = [
    *(*_KEY, _LANG),
    _string("text", "The text, unchanged."),
    _column(_IDS, "token_ids", "Ids of the configured tokenizer, in order."),
    _N_TOKENS,
]
_TOKEN_ID = _int("token_id", "Id in the configured tokenizer's vocabulary.")
_TOKEN = _string("token", "Readable text of the token; bytes that are no whole character as \\xe6.")
_WORD = [
    _string("lang", "Language of the word, a column of the lexicon."),
    _string("word", "Lexicon word, as first spelled in the lexicon."),
]
_WORD_PAIR = [
    _string("lang_a", "Language of the first word; (lang_a, word_a) < (lang_b, word_b)."),
    _string("word_a", "The first word."),
    _string("lang_b", "Language of the second word."),
    _string("word_b", "The second word."),
]
_PAIR_COUNTS = [
    _long("pair_count", "Number of pairs within the window."),
    _long("doc_count", "Documents with at least one such pair."),
]
_TOTALS = [
    _long("count", "Occurrences in the corpus."),
    _long("doc_count", "Documents with at least one occurrence."),
]
_DENSITY = _double("pivot_density", "n_pivot_tokens / n_tokens, in [0, 1]; 0 for a document without tokens.")

_COUNT = "count_cooccurrence"
SHARDS = _table(
    "shards",
    "tokenize_corpus",
    "The shards whose records are in the tables; what is listed but not here is read by the next run.",
    _PLACE[0],
    _string("content_id", "SHA-256 (hex) of the file as stored."),
    _long("n_bytes", "Size of the file in bytes, compressed or not."),
    _long("modified_ns", "Time of the last change in ns since 1970; 0 where the store reports none."),
    _long("n_docs", "Records in documents."),
    _long("n_rejected", "Rows in quarantine."),
    _N_TOKENS,
    _long("batch", "Number of the batch that it was read in, from 0."),
    _long("n_blocked", "Records that are on the block list and in no table."),
    _string(
        "status", "loaded: its records are in documents and quarantine; loading: so, but the run had batches to come."
    ),
)
DOCUMENTS = _table(
    "documents",
    "tokenize_corpus",
    "The corpus: one row for each record that can be used, with its token ids.",
    *_CONTENT,
    *_PLACE,
)
QUARANTINE = _table(
    "quarantine",
    "tokenize_corpus",
    "The records, and shards, that cannot be used. Records read = documents + quarantine + blocked.",
    _PLACE[0],
    _long("record", "The record's number within its shard; null for the whole shard.", True),
    _string("reason", "Why it was rejected: a key of pivot_udfs.shards.quarantine_reasons.REASONS."),
    _string("detail", "What was found."),
    _column(pa.binary(), "raw", "The record's first bytes, at most 1,024; null for a shard or the rest of one.", True),
    _string("source", "The source that it would have as a document; null where that is not known.", True),
    _string("doc_id", "The id that it would have as a document; null where that is not known.", True),
)
BLOCKED = _table(
    BLOCK_LIST,
    "forget_documents",
    "The block list: what forget_documents has removed and rebuilds keep out. Only there once it has run.",
    _string("source", "Source of blocked records; null in the rows of shards.", True),
    _string("doc_id", "Id of a blocked record; null where the whole source is blocked.", True),
    _string("shard", "Path of a shard that is not read; else null.", True),
    _string("content_id", "SHA-256 (hex) of a shard whose records are blocked under any path; else null.", True),
)
_N_DOCS = _long("n_docs", "Number of documents.")
CORPUS_TOTALS = _table("corpus_totals", _COUNT, "Documents and tokens by language.", _LANG, _N_DOCS, _N_TOKENS)
TOKEN_TOTALS = _table("token_totals", _COUNT, "Occurrences of each token.", _TOKEN_ID, *_TOTALS)
N_SOURCE_GROUPS = 32
"""Sources are counted in so many groups, so that the counts stay small where every site is a source."""
TOKEN_SOURCES = _table(
    "token_sources",
    _COUNT,
    "Documents with each token by group of sources, and its occurrences as a whole word.",
    _int("source_group", f"CRC-32 of the source modulo {N_SOURCE_GROUPS}."),
    _TOKEN_ID,
    _long("word_count", "Occurrences as a whole word: no character before or after continues it."),
    _long("doc_count", "Documents with at least one occurrence."),
)
WORD_TOTALS = _table("word_totals", _COUNT, "Hits of each lexicon word.", *_WORD, *_TOTALS)
WORD_COOCCURRENCE = _table(
    "word_cooccurrence", _COUNT, "Pairs of hits of different languages within the window.", *_WORD_PAIR, *_PAIR_COUNTS
)
TOKEN_COOCCURRENCE = _table(
    "token_cooccurrence", _COUNT, "Tokens within the window around hits.", *_WORD, _TOKEN_ID, *_PAIR_COUNTS
)
PAIR_PIVOTS = _table(
    "pair_pivots",
    "find_pivots",
    "The tokens that are associated with both words of a translation pair.",
    _long("concept", "The lexicon's row, from 0."),
    *_WORD_PAIR,
    _TOKEN_ID,
    _TOKEN,
    _double("association_a", "Association of the token with word_a, by pivots.association."),
    _double("association_b", "Association of the token with word_b."),
    _double("score", "The smaller of the two associations."),
    _long("rank", "1 for the best token of the pair."),
    pinned=True,
)
PIVOTS = _table(
    "pivots",
    "find_pivots",
    "The pivot set: tokens that are pair pivots of many concepts and language pairs.",
    _TOKEN_ID,
    _TOKEN,
    _double("score", "Sum of the token's scores over all pairs."),
    _long("n_concepts", "Concepts of which it is a pair pivot."),
    _long("n_language_pairs", "Language pairs in which it is a pair pivot."),
    _double("doc_share", "Share of all documents with the token, in [0, 1]."),
    _double("word_share", "Share of its occurrences in which the token is a whole word, in [0, 1]."),
    _long("n_sources", "Groups of sources with the token: as many sources, or more; at most 32."),
    _double("half_balance", "(a - b) / (a + b), 0 for 0 / 0: sums of its scores above 0 for concepts of half A and B."),
    _long("rank", "1 for the best pivot."),
    pinned=True,
)
DOCUMENT_SCORES = _table(
    "document_scores",
    "score_documents",
    "The share of pivots in each document. The text is not repeated.",
    *_KEY,
    _LANG,
    _N_TOKENS,
    _long("n_pivot_tokens", "Tokens that are in the pivot set."),
    _long("n_distinct_pivots", "Distinct pivots among them."),
    _DENSITY,
    _double("half_balance", "Sum of its pivot tokens' half_balance / n_tokens, in [-1, 1]; 0 without any."),
    _double("word_share", "Share of its tokens that are lexicon words of any language, in [0, 1]."),
    _double("foreign_share", "Share of its tokens that are lexicon words of the other kind of script, in [0, 1]."),
    *_PLACE,
)
DATASET = _table(
    DATASETS,
    "filter_documents",
    "The documents that an arm takes.",
    *_CONTENT,
    _DENSITY,
    _double("shrunken_density", "(n_pivot_tokens + k m) / (n_tokens + k), see selection.shrinkage_tokens."),
    _double("cut", "The shrunken density at which the pivot arm ends in this language; null where it does not.", True),
    *_PLACE,
)
SELECTION_CUTS = _table(
    "selection_cuts",
    "filter_documents",
    "Where each arm ends: the place of the first document left out, by stratum. The pivot arm is always listed.",
    _string("arm", "The arm."),
    _string("stratum", "Values of the arm's strata with a slash between them, or all."),
    _long("budget", "Tokens or documents, by the arm; null where all up to value are taken.", True),
    _double(
        "value",
        "Order of the first document that is left out, in [0, 1]: 1 - shrunken_density in the pivot arm, (1 - "
        "half_balance) / 2 and (1 + half_balance) / 2 in half_a and half_b, else its draw. Null where the stratum "
        "fits entirely, or the budget of an arm of a pair is 0. Documents before it are taken.",
        True,
    ),
    _long("tie", "Its hash of arm, seed, source and doc_id: of equal values the lower are taken. Null without.", True),
    _double("language_density", "Pivot tokens / tokens of the stratum, if it is a language, at that time.", True),
    _long("n_candidates", "Documents of the stratum that the arm could take; null in the pivot arm.", True),
    pinned=True,
)
_SHARES = pa.map_(pa.string(), pa.float64())
RELEASES = _table(
    "releases",
    "rebuild_corpus",
    "The versions of all tables that belong together, one row for each rebuild that changed a table.",
    _long("release", "Number of the release, from 0."),
    _column(pa.timestamp("us", "UTC"), "committed_at", "When the rebuild ended."),
    _column(pa.map_(pa.string(), pa.int64()), "versions", "The version of each table."),
    _string("provenance", "JSON: the rows of each table, and what made them."),
    _double("pivot_drift", "Share of the pivot set that these counts would change, in [0, 1].", True),
    _column(_SHARES, "budget_missed", "By how much each arm misses, or exceeds, its budget, as a share of it.", True),
)

PINNED = tuple(name for name, table in TABLES.items() if table.pinned)
STAGE_TABLES = tuple(name for name in TABLES if name not in ("releases", BLOCK_LIST, DATASETS))
"""The tables that every rebuild makes or keeps; a release is added after the last stage."""
