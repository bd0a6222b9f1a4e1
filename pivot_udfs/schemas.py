"""The schema of every table, defined once: Spark's, delta-rs's and ``docs/tables.md`` are derived from these.

Column names are the contract. Counts are 64-bit integers. Each field's ``comment`` is stored in the Delta table.
"""

import pyarrow as pa


def _column(name: str, kind: pa.DataType, comment: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable, {"comment": comment})


_STRING, _LONG, _INT, _DOUBLE = pa.string(), pa.int64(), pa.int32(), pa.float64()

_KEY = [
    _column("source", _STRING, "The record's source, otherwise the shard's file name without its extension."),
    _column("doc_id", _STRING, "The record's id, unique within its source."),
]
_PLACE = [
    _column("shard", _STRING, "The input file, as listed."),
    _column("record", _LONG, "The record's number within its shard, from 0. (shard, record) is always unique."),
]
_LANG = _column("lang", _STRING, "ISO 639-1 code where there is one; mul for several languages in one text.")
_TEXT = _column("text", _STRING, "The text, unchanged.")
_N_TOKENS = _column("n_tokens", _LONG, "Number of tokens.")
_TOKEN_IDS = _column(
    "token_ids", pa.list_(pa.field("element", _INT, nullable=False)), "Ids of the configured tokenizer, in order."
)
_TOKEN_ID = _column("token_id", _INT, "Id in the configured tokenizer's vocabulary.")
_TOKEN = _column("token", _STRING, "Readable text of the token; bytes that are no whole character as \\xe6.")
_WORD = [
    _column("lang", _STRING, "Language of the word, a column of the lexicon."),
    _column("word", _STRING, "Lexicon word, as first spelled in the lexicon."),
]
_WORD_PAIR = [
    _column("lang_a", _STRING, "Language of the first word; (lang_a, word_a) < (lang_b, word_b)."),
    _column("word_a", _STRING, "The first word."),
    _column("lang_b", _STRING, "Language of the second word."),
    _column("word_b", _STRING, "The second word."),
]
_PAIR_COUNTS = [
    _column("pair_count", _LONG, "Number of pairs within the window."),
    _column("doc_count", _LONG, "Documents with at least one such pair."),
]
_TOTALS = [
    _column("count", _LONG, "Occurrences in the corpus."),
    _column("doc_count", _LONG, "Documents with at least one occurrence."),
]
_DENSITY = _column("pivot_density", _DOUBLE, "n_pivot_tokens / n_tokens, in [0, 1]; 0 for a document without tokens.")

DOCUMENTS = pa.schema([*_KEY, _LANG, _TEXT, _TOKEN_IDS, _N_TOKENS, *_PLACE])
QUARANTINE = pa.schema(
    [
        _PLACE[0],
        _column("record", _LONG, "The record's number within its shard; null for the whole shard.", nullable=True),
        _column("reason", _STRING, "Why it was rejected: a key of pivot_udfs.shards.quarantine_reasons.REASONS."),
        _column("detail", _STRING, "What was found."),
        _column("raw", pa.binary(), "The record's first bytes, at most 1,024.", nullable=True),
    ]
)
SHARDS = pa.schema(
    [
        _PLACE[0],
        _column("content_id", _STRING, "SHA-256 (hex) of the file as stored."),
        _column("n_bytes", _LONG, "Size of the file in bytes, compressed or not."),
        _column("modified_ns", _LONG, "Time of the last change in ns since 1970; 0 where the store reports none."),
        _column("n_docs", _LONG, "Records in documents."),
        _column("n_rejected", _LONG, "Rows in quarantine."),
        _N_TOKENS,
        _column("batch", _LONG, "Number of the batch that it was read in, from 0."),
        _column("n_blocked", _LONG, "Records that are on the block list and in no table."),
        _column("status", _STRING, "loaded: its records are in documents and quarantine."),
    ]
)
BLOCKED = pa.schema(
    [
        _column("source", _STRING, "Source of blocked records; null in the row of a shard.", nullable=True),
        _column("doc_id", _STRING, "Id of a blocked record; null where the whole source is blocked.", nullable=True),
        _column("shard", _STRING, "A shard that is not read; null in the row of a key.", nullable=True),
    ]
)
CORPUS_TOTALS = pa.schema([_LANG, _column("n_docs", _LONG, "Number of documents."), _N_TOKENS])
TOKEN_TOTALS = pa.schema([_TOKEN_ID, *_TOTALS])
N_SOURCE_GROUPS = 32
"""Sources are counted in so many groups, so that the counts stay small where every site is a source."""
TOKEN_SOURCES = pa.schema(
    [
        _column("source_group", _INT, f"CRC-32 of the source modulo {N_SOURCE_GROUPS}."),
        _TOKEN_ID,
        _column("word_count", _LONG, "Occurrences as a whole word: no character before or after continues it."),
        _column("doc_count", _LONG, "Documents with at least one occurrence."),
    ]
)
WORD_TOTALS = pa.schema([*_WORD, *_TOTALS])
WORD_COOCCURRENCE = pa.schema([*_WORD_PAIR, *_PAIR_COUNTS])
TOKEN_COOCCURRENCE = pa.schema([*_WORD, _TOKEN_ID, *_PAIR_COUNTS])
PAIR_PIVOTS = pa.schema(
    [
        _column("concept", _LONG, "The lexicon's row, from 0."),
        *_WORD_PAIR,
        _TOKEN_ID,
        _TOKEN,
        _column("association_a", _DOUBLE, "Association of the token with word_a, by pivots.association."),
        _column("association_b", _DOUBLE, "Association of the token with word_b."),
        _column("score", _DOUBLE, "The smaller of the two associations."),
        _column("rank", _LONG, "1 for the best token of the pair."),
    ]
)
PIVOTS = pa.schema(
    [
        _TOKEN_ID,
        _TOKEN,
        _column("score", _DOUBLE, "Sum of the token's scores over all pairs."),
        _column("n_concepts", _LONG, "Concepts of which it is a pair pivot."),
        _column("n_language_pairs", _LONG, "Language pairs in which it is a pair pivot."),
        _column("doc_share", _DOUBLE, "Share of all documents with the token, in [0, 1]."),
        _column("word_share", _DOUBLE, "Share of its occurrences in which the token is a whole word, in [0, 1]."),
        _column("n_sources", _LONG, "Groups of sources with the token: as many sources, or more; at most 32."),
        _column(
            "half_balance",
            _DOUBLE,
            "(a - b) / (a + b) in [-1, 1]: a, b are the sums of its scores above 0 for concepts of half A and half B; "
            "0 where both are 0.",
        ),
        _column("rank", _LONG, "1 for the best pivot."),
    ]
)
DOCUMENT_SCORES = pa.schema(
    [
        *_KEY,
        _LANG,
        _N_TOKENS,
        _column("n_pivot_tokens", _LONG, "Tokens that are in the pivot set."),
        _column("n_distinct_pivots", _LONG, "Distinct pivots among them."),
        _DENSITY,
        _column(
            "half_balance", _DOUBLE, "Sum of its pivot tokens' half_balance / n_tokens, in [-1, 1]; 0 without any."
        ),
        _column(
            "foreign_share",
            _DOUBLE,
            "Share of its tokens that are lexicon words of languages of another kind of script (with spaces, without) "
            "than its own, in [0, 1].",
        ),
        *_PLACE,
    ]
)
_SHRUNKEN = _column(
    "shrunken_density",
    _DOUBLE,
    "(n_pivot_tokens + k m) / (n_tokens + k) with k = selection.shrinkage_tokens and m the language's density.",
)
DATASET = pa.schema([*_KEY, _LANG, _TEXT, _TOKEN_IDS, _N_TOKENS, _DENSITY, _SHRUNKEN, *_PLACE])
SELECTION_CUTS = pa.schema(
    [
        _column("arm", _STRING, "The arm."),
        _column("stratum", _STRING, "Values of the arm's strata with a slash between them, or all."),
        _column("budget", _LONG, "Tokens or documents, by the arm; null where all up to value are taken.", True),
        _column(
            "value",
            _DOUBLE,
            "Order of the first document that is left out, in [0, 1]: 1 - shrunken_density in the pivot arm, (1 - "
            "half_balance) / 2 and (1 + half_balance) / 2 in half_a and half_b, else its draw. Null where the stratum "
            "fits entirely, or the budget of an arm of a pair is 0. Documents before it (ties: by the key) are taken.",
            True,
        ),
        *(field.with_nullable(True) for field in (*_KEY, *_PLACE)),
        _column(
            "language_density",
            _DOUBLE,
            "Pivot tokens / tokens of the language that is the stratum, to which densities are shrunken until the cuts "
            "are decided anew; null in strata that are no language.",
            True,
        ),
        _column(
            "n_candidates", _LONG, "Documents of the stratum that the arm could take; null in the pivot arm.", True
        ),
    ]
)

RELEASES = pa.schema(
    [
        _column("release", _LONG, "Number of the release, from 0."),
        _column("committed_at", pa.timestamp("us", "UTC"), "When the rebuild ended."),
        _column("versions", pa.map_(_STRING, _LONG), "The version of each table."),
        _column("provenance", _STRING, "JSON: the rows of each table, and what made them."),
        _column(
            "pivot_drift",
            _DOUBLE,
            "Share of the pivot set that would change if it were found in these counts, in [0, 1].",
            True,
        ),
        _column(
            "budget_missed",
            pa.map_(_STRING, _DOUBLE),
            "By how much each arm misses, or exceeds, its budget by these documents, as a share of the budget.",
            True,
        ),
    ]
)

TABLES: dict[str, pa.Schema] = {
    "shards": SHARDS,
    "documents": DOCUMENTS,
    "quarantine": QUARANTINE,
    "corpus_totals": CORPUS_TOTALS,
    "token_totals": TOKEN_TOTALS,
    "token_sources": TOKEN_SOURCES,
    "word_totals": WORD_TOTALS,
    "word_cooccurrence": WORD_COOCCURRENCE,
    "token_cooccurrence": TOKEN_COOCCURRENCE,
    "pair_pivots": PAIR_PIVOTS,
    "pivots": PIVOTS,
    "document_scores": DOCUMENT_SCORES,
    "selection_cuts": SELECTION_CUTS,
    "releases": RELEASES,
}
"""Every table but BLOCK_LIST and those of the arms, ``datasets/<arm>``, which have the schema DATASET."""
BLOCK_LIST = "blocked"
"""The table with the schema BLOCKED; it is there only once ``forget_documents`` has run."""

PINNED = ("pair_pivots", "pivots", "selection_cuts")
"""The tables that are decided anew by a refresh only: between refreshes their rows stay, see ``settings.Refresh``."""

STAGE_TABLES = tuple(name for name in TABLES if name != "releases")
"""The tables that stages write; a release is added after the last stage."""

DESCRIPTIONS: dict[str, str] = {
    "blocked": "The block list: what forget_documents has removed and rebuilds keep out. Only there once it has run.",
    "shards": "The shards whose records are in the tables; what is listed but not here is read by the next run.",
    "documents": "The corpus: one row for each record that can be used, with its token ids.",
    "quarantine": "The records, and shards, that cannot be used. Records read = documents + quarantine + blocked.",
    "corpus_totals": "Documents and tokens by language.",
    "token_totals": "Occurrences of each token.",
    "token_sources": "Documents with each token by group of sources, and its occurrences as a whole word.",
    "word_totals": "Hits of each lexicon word.",
    "word_cooccurrence": "Pairs of hits of different languages within the window.",
    "token_cooccurrence": "Tokens within the window around hits.",
    "pair_pivots": "The tokens that are associated with both words of a translation pair.",
    "pivots": "The pivot set: tokens that are pair pivots of many concepts and language pairs.",
    "document_scores": "The share of pivots in each document. The text is not repeated.",
    "selection_cuts": "Where each arm ends: the first document of each stratum that is left out. The pivot arm is "
    "always listed, as the controls follow it.",
    "releases": "The versions of all tables that belong together, one row for each rebuild that changed a table.",
    "datasets/<arm>": "The documents that an arm takes.",
}
"""What each table holds."""
