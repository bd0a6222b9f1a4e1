"""What the first record of a corpus becomes, so that wrong names of fields show before all shards are read."""

from collections.abc import Sequence

from jobs.loading.check_quarantine import remedy_of
from pivot_udfs.settings import Corpus
from pivot_udfs.shards.list_shards import Shard
from pivot_udfs.shards.quarantine_reasons import Rejected
from pivot_udfs.shards.read_shard import read_shard
from pivot_udfs.storage.redact import printable


def describe_first_record(shards: Sequence[Shard], corpus: Corpus) -> str:
    """Source, id and language label of the first shard's first record, or why it would be rejected.

    Raises StoreError where the shard cannot be read.
    """
    records = read_shard(shards[0].path, corpus)
    first = next(records)
    records.close()
    begin = f"first record of {printable(shards[0].path)}"
    if isinstance(first, Rejected):
        return f"WARNING: {begin} would be rejected: {first.reason} ({first.detail}){remedy_of(first.reason)}"
    label = f"label {first.lang}" if first.lang else "no usable label, so that it is identified"
    return f"{begin}: source {printable(first.source)!r}, id {printable(first.doc_id)!r}, language: {label}"
