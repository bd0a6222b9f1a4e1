"""Compares the records that were read with those that were written, and describes both."""

from pivot_udfs.errors import CorpusError
from pivot_udfs.tokenize_corpus import ShardCount, ShardCounts, total

_SET_ID = "set corpus.fields.id to the field that identifies a document, or to '' to number the documents"
_SET_TEXT = "set corpus.fields.text to the field that holds the text"
_REMEDIES = {
    "missing_id": _SET_ID,
    "id_not_string": _SET_ID,
    "missing_text": _SET_TEXT,
    "text_not_string": _SET_TEXT,
    "missing_columns": f"{_SET_TEXT}, and {_SET_ID.removeprefix('set ')}",
    "source_not_string": "set corpus.fields.source to a field that holds strings, or to '' to use the shard's name",
}


def check_row_counts(counts: ShardCounts, n_documents: int, n_rejected: int) -> None:
    """Compares what was read with what was written.

    Args:
        counts: what was read.
        n_documents: rows written to ``documents``.
        n_rejected: rows written to ``quarantine``.

    Raises:
        CorpusError: they differ.
    """
    read = total(counts.values())
    if read[:2] != (n_documents, n_rejected):
        raise CorpusError(
            f"read {read.n_docs} documents and {read.n_rejected} rejected records, but wrote {n_documents} and "
            f"{n_rejected}: the shards changed while they were read; run it again"
        )


def no_documents(read: ShardCount) -> CorpusError:
    """The error for a corpus without a document: the reasons, the most frequent first.

    Args:
        read: the sum of all shards.
    """
    if not read.rejections:
        return CorpusError("the shards have no record: check corpus.inputs")
    numbers = ", ".join(f"{n_records} {reason}" for reason, n_records, _ in read.rejections)
    first = read.rejections[0]
    remedy = f"; {_REMEDIES[first.reason]}" if first.reason in _REMEDIES else ""
    return CorpusError(f"none of {read.n_rejected} records is a document: {numbers} (such as: {first.detail}){remedy}")


def progress_message(counts: ShardCounts, n_shards: int, seconds: float) -> str:
    """What has been read in so many seconds; another thread may be adding to the counts."""
    read = total(counts.copy().values())
    rate = read.n_tokens / max(seconds, 1e-9)
    return f"{len(counts):,} of {n_shards:,} shards, {read.n_docs:,} documents, {rate:,.0f} tokens/s"
