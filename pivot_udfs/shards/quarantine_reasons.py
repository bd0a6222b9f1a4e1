"""Why records and shards go to quarantine: the reasons, and the row that a rejected record becomes."""

from typing import NamedTuple

RAW_BYTES = 1024
"""How much of a rejected record is kept."""
MAX_KEY_BYTES = 4_096
"""Longest id and longest source, in UTF-8."""

REASONS: dict[str, str] = {
    "empty_shard": "the file holds no record",
    "corrupt_stream": "the file is truncated or damaged; what follows the damage is not read",
    "unsupported_form": "the Parquet file is encrypted or Arrow lacks its codec, or a zstd stream needs a dictionary",
    "zstd_window_too_large": "the zstd stream needs more memory than corpus.max_zstd_window_mb; the rest is not read",
    "page_too_large": "a Parquet page or list is larger than corpus.max_parquet_page_mb; the rest is not read",
    "missing_columns": "the Parquet file has no column corpus.fields.id or corpus.fields.text; no row is read",
    "record_too_large": "the line is longer than corpus.max_record_bytes",
    "blank_line": "the line is empty",
    "invalid_utf8": "the bytes are not UTF-8",
    "not_json": "the line is not JSON",
    "not_an_object": "the line is JSON but not an object",
    "lone_surrogate": "a field holds half of a surrogate pair, which cannot be encoded as UTF-8",
    "missing_text": "the text is missing or null",
    "text_not_string": "the text is not a string",
    "blank_text": "the text is empty or white space",
    "document_too_large": "the text is longer than corpus.max_document_bytes",
    "missing_id": "the id is missing, null or empty",
    "id_not_string": "the id is neither a string nor an integer",
    "source_not_string": "the source is neither a string nor an integer",
    "key_too_long": f"the id or the source has more than {MAX_KEY_BYTES} bytes",
    "nul_character": "a field holds the character U+0000",
}
"""What each reason of a ``Rejected`` means."""
SHARD_REASONS = frozenset(
    {"empty_shard", "corrupt_stream", "unsupported_form", "zstd_window_too_large", "page_too_large", "missing_columns"}
)
"""The reasons that stand for the rest of a shard, or for all of it; a shard has at most one."""


class Rejected(NamedTuple):
    """A record, or a whole shard (``record`` None), that cannot be used."""

    record: int | None
    reason: str  # a key of REASONS
    detail: str  # what was found, and what was expected
    raw: bytes | None  # the first bytes, at most 1,024
    source: str | None = None  # that it would have as a document; None where that is not known
    doc_id: str | None = None  # the same


class RecordError(Exception):
    """Why a record is rejected: ``reason`` is a key of REASONS, ``detail`` what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def reject(
    record: int | None, error: RecordError, raw: object, key: tuple[str | None, str | None] = (None, None)
) -> Rejected:
    """The quarantine row of a rejected record; ``raw`` is cut to 1,024 bytes, ``key`` is source and id."""
    first = raw[:RAW_BYTES] if isinstance(raw, bytes) and raw else None
    return Rejected(record, error.reason, error.detail, first, *key)
