"""Compares the records that were read with those that were written and rejected, and stops a run with too many."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pivot_udfs.errors import CorpusError, TransientError
from pivot_udfs.shards.quarantine_reasons import SHARD_REASONS
from pivot_udfs.tokenize_corpus import Rejections, ShardCount, ShardCounts, total

_RECORDS, _SHARDS = (100, 10), (20, 1)
"""Fewer than the first are not judged by their share, but more bad ones than the second are too many."""
_MOST_REASONS = 5
"""How many reasons a message names."""

_SET_ID = "set corpus.fields.id to the field that identifies a document, or to '' to number the documents"
_SET_TEXT = "set corpus.fields.text to the field that holds the text"
_WRITE_LINES = "write one JSON object a line: jq -c '.[]' makes lines of an array"
_REMEDIES = {
    "corrupt_stream": "copy the shard again, whole",
    "not_json": _WRITE_LINES,
    "not_an_object": _WRITE_LINES,
    "invalid_utf8": "convert the shards to UTF-8",
    "missing_id": _SET_ID,
    "id_not_string": _SET_ID,
    "missing_text": _SET_TEXT,
    "text_not_string": _SET_TEXT,
    "missing_columns": f"{_SET_TEXT}, and {_SET_ID.removeprefix('set ')}",
    "source_not_string": "set corpus.fields.source to a field that holds strings, or to '' to use the shard's name",
}


def check_row_counts(counts: ShardCounts, n_documents: int, n_rejected: int) -> None:
    """Raises TransientError where the rows written to ``documents`` and ``quarantine`` are not as many as were read."""
    read = total(counts.values())
    if read[:2] != (n_documents, n_rejected):
        raise TransientError(
            f"read {read.n_docs} documents and {read.n_rejected} rejected records, but wrote {n_documents} and "
            f"{n_rejected}: the shards changed while they were read; run it again"
        )


class ReadShards(NamedTuple):
    """Sums over shards that were read."""

    n_shards: int = 0
    read: ShardCount = ShardCount(0, 0, 0)
    lost: ShardCount = ShardCount(0, 0, 0)
    """The rejections that stand for the rest of a shard, or for all of it."""

    def plus(self, counts: ShardCounts) -> "ReadShards":
        """The sums over these shards as well."""
        lost = map(_of_whole_shards, counts.values())
        return ReadShards(self.n_shards + len(counts), total([self.read, *counts.values()]), total([self.lost, *lost]))


def check_quarantine_share(shards: ReadShards, max_share: float, all_read: bool = False) -> None:
    """Raises CorpusError, with the most frequent reasons, where shards exceed ``corpus.max_quarantine_share``.

    It is the share of records that are rejected, and of shards that are empty or not readable to their end. Of fewer
    than 100 records 10 may be rejected, of fewer than 20 shards one, but not all that a run reads (``all_read``).
    """
    read, lost, n_shards = shards.read, shards.lost, shards.n_shards
    _check_share("shards are empty or cannot be read to their end", lost, n_shards, _SHARDS, max_share, all_read)
    _check_share("records are rejected", read, read.n_docs + read.n_rejected, _RECORDS, max_share, all_read)


def no_documents(read: ShardCount) -> CorpusError:
    """The error for a corpus without a document, with the sum of all shards: the reasons, the most frequent first."""
    if not read.rejections:
        return CorpusError("the shards have no record: check corpus.inputs")
    return CorpusError(f"none of {read.n_rejected} records is a document: {describe_rejections(read.rejections)}")


def _of_whole_shards(count: ShardCount) -> ShardCount:
    rejections = tuple(of for of in count.rejections if of.reason in SHARD_REASONS)
    return ShardCount(0, sum(of.n_records for of in rejections), 0, rejections)


def _check_share(
    what: str, bad: ShardCount, n_all: int, limits: tuple[int, int], max_share: float, all_read: bool
) -> None:
    least, allowed = limits
    is_judged = n_all >= least or bad.n_rejected > allowed or (all_read and bad.n_rejected == n_all)
    if bad.n_rejected and is_judged and bad.n_rejected / n_all > max_share:
        raise CorpusError(
            f"{bad.n_rejected:,} of {n_all:,} {what} ({bad.n_rejected / n_all:.2%}), more than"
            f" corpus.max_quarantine_share allows ({max_share:.2%}): {describe_rejections(bad.rejections)}; or raise"
            " corpus.max_quarantine_share"
        )


def describe_rejections(rejections: Sequence[Rejections]) -> str:
    """The most frequent reasons; a detail and shards of the first, and what to do about it where that is known."""
    numbers = ", ".join(f"{of.n_records} {of.reason}" for of in rejections[:_MOST_REASONS])
    first = rejections[0]
    shards = f"; in {', '.join(first.shards)}" if first.shards else ""
    return f"{numbers} (such as: {first.detail}{shards}){remedy_of(first.reason)}"


def remedy_of(reason: str) -> str:
    """What to do about records that are rejected for a reason, behind a semicolon; empty where that is not known."""
    return f"; {_REMEDIES[reason]}" if reason in _REMEDIES else ""


def progress_message(
    counts: ShardCounts, sizes: Mapping[str, int], seconds: float, known: dict[int, float]
) -> tuple[str, dict[str, int]]:
    """What has been read in so many seconds, as text and as numbers; another thread may be adding to the counts.

    ``known`` keeps when each number of shards was first seen, so that the rate is that until the last shard.
    """
    done = counts.copy()
    read, n_bytes = total(done.values()), sum(sizes[shard] for shard in done)
    rate = read.n_tokens / max(known.setdefault(len(done), seconds), 1e-9)
    n_all = sum(sizes.values())
    share = f"{n_bytes / 1e6:,.1f} of {n_all / 1e6:,.1f} MB"
    values = {"shards_read": len(done), "shards": len(sizes), "bytes_read": n_bytes, "bytes": n_all}
    values |= {"documents": read.n_docs, "tokens_per_second": round(rate)}
    return f"{len(done):,} of {len(sizes):,} shards, {share}, {read.n_docs:,} documents, {rate:,.0f} tokens/s", values
