"""The schema of every table, once: Spark's and delta-rs's are derived from these.

Column names are the contract. Counts are 64-bit. ``record`` is the number of a record within its shard, from 0.
"""

import pyarrow as pa

_KEY = [
    pa.field("source", pa.string(), nullable=False),  # Dolma's source, else the shard's file name
    pa.field("doc_id", pa.string(), nullable=False),  # unique within its source
]
_PLACE = [
    pa.field("shard", pa.string(), nullable=False),  # the input file, as listed
    pa.field("record", pa.int64(), nullable=False),  # with shard: a key that holds whatever the ids do
]
_TOKENS = [
    pa.field("token_ids", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False),
    pa.field("n_tokens", pa.int64(), nullable=False),
]
_TEXT = [
    pa.field("lang", pa.string(), nullable=False),  # ISO 639-1, or "mul" for several languages in one text
    pa.field("text", pa.string(), nullable=False),
]
_COUNTS = [
    pa.field("pair_count", pa.int64(), nullable=False),  # occurrences together within the window
    pa.field("doc_count", pa.int64(), nullable=False),  # documents with at least one of them
]
_WORD_PAIR = [
    pa.field("lang_a", pa.string(), nullable=False),
    pa.field("word_a", pa.string(), nullable=False),
    pa.field("lang_b", pa.string(), nullable=False),
    pa.field("word_b", pa.string(), nullable=False),
]

DOCUMENTS = pa.schema([*_KEY, *_TEXT, *_TOKENS, *_PLACE])

QUARANTINE = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("record", pa.int64(), nullable=True),  # null where the whole shard is meant
        pa.field("reason", pa.string(), nullable=False),  # one of pivot_udfs.shards.read_shard.REASONS
        pa.field("detail", pa.string(), nullable=False),  # what was got
        pa.field("raw", pa.binary(), nullable=True),  # the first bytes of the record
    ]
)

CORPUS_TOTALS = pa.schema(
    [
        pa.field("lang", pa.string(), nullable=False),
        pa.field("n_docs", pa.int64(), nullable=False),
        pa.field("n_tokens", pa.int64(), nullable=False),
    ]
)

TOKEN_TOTALS = pa.schema(
    [
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("doc_count", pa.int64(), nullable=False),
    ]
)

WORD_TOTALS = pa.schema(
    [
        pa.field("lang", pa.string(), nullable=False),
        pa.field("word", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("doc_count", pa.int64(), nullable=False),
    ]
)

WORD_COOCCURRENCE = pa.schema([*_WORD_PAIR, *_COUNTS])

TOKEN_COOCCURRENCE = pa.schema(
    [
        pa.field("lang", pa.string(), nullable=False),
        pa.field("word", pa.string(), nullable=False),
        pa.field("token_id", pa.int32(), nullable=False),
        *_COUNTS,
    ]
)

PAIR_PIVOTS = pa.schema(
    [
        pa.field("concept", pa.int64(), nullable=False),  # the lexicon's row, from 0
        *_WORD_PAIR,
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("token", pa.string(), nullable=False),  # readable text of the token
        pa.field("association_a", pa.float64(), nullable=False),  # of the token with word_a, by pivots.association
        pa.field("association_b", pa.float64(), nullable=False),  # of the token with word_b
        pa.field("score", pa.float64(), nullable=False),  # the smaller of the two
        pa.field("rank", pa.int64(), nullable=False),  # 1 is the best of its pair
    ]
)

PIVOTS = pa.schema(
    [
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("token", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),  # sum of the pair scores
        pa.field("n_concepts", pa.int64(), nullable=False),
        pa.field("n_language_pairs", pa.int64(), nullable=False),
        pa.field("doc_share", pa.float64(), nullable=False),  # share of all documents with the token, 0..1
        pa.field("rank", pa.int64(), nullable=False),
    ]
)

DOCUMENT_SCORES = pa.schema(
    [
        *_KEY,
        pa.field("lang", pa.string(), nullable=False),
        pa.field("n_tokens", pa.int64(), nullable=False),
        pa.field("n_pivot_tokens", pa.int64(), nullable=False),
        pa.field("n_distinct_pivots", pa.int64(), nullable=False),
        pa.field("pivot_density", pa.float64(), nullable=False),  # n_pivot_tokens / n_tokens, 0..1
        *_PLACE,
    ]
)

DATASET = pa.schema([*_KEY, *_TEXT, *_TOKENS, pa.field("pivot_density", pa.float64(), nullable=False), *_PLACE])

TABLES: dict[str, pa.Schema] = {
    "documents": DOCUMENTS,
    "quarantine": QUARANTINE,
    "corpus_totals": CORPUS_TOTALS,
    "token_totals": TOKEN_TOTALS,
    "word_totals": WORD_TOTALS,
    "word_cooccurrence": WORD_COOCCURRENCE,
    "token_cooccurrence": TOKEN_COOCCURRENCE,
    "pair_pivots": PAIR_PIVOTS,
    "pivots": PIVOTS,
    "document_scores": DOCUMENT_SCORES,
}
