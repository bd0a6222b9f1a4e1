"""Looks for keys (source, doc_id) that several new documents have, most often because a shard is read twice.

Only the files that the run has written are read, of which two columns. Of many documents a sample of all keys is
compared, so that few hashes of eight bytes are shuffled; a shard that is read twice shows in any sample.
"""

from collections.abc import Iterable, Mapping
from functools import partial

import pyarrow as pa
from pyspark.sql import functions as F

from jobs.framework.stage import Run
from jobs.framework.task_sizes import map_files
from jobs.loading.compare_shards import LoadedShard
from pivot_udfs.schemas import DOCUMENTS
from pivot_udfs.storage.read_parquet import read_listed
from pivot_udfs.tokenize_corpus import ShardCount

_KEY = pa.schema([DOCUMENTS.field(name) for name in ("source", "doc_id")])
_MOST_KEYS = 1 << 20


def describe_repeated_keys(run: Run, files: Mapping[str, int], n_docs: int, most_keys: int = _MOST_KEYS) -> str | None:
    """One line where new documents (``n_docs`` in ``files``: bytes by path) share keys; None where none do.

    Of more than ``most_keys`` keys, those are compared whose hash is a multiple.
    """
    if not files:
        return None
    one_in = -(-n_docs // most_keys)
    read = partial(read_listed, folder=run.warehouse.location("documents").uri, schema=_KEY)
    hashes = map_files(run.spark, files, read, _KEY).select(F.xxhash64(*_KEY.names).alias("key"))
    shared = hashes.where(F.pmod("key", F.lit(one_in)) == 0).groupBy("key").count().where("count > 1")
    n_keys, n_shared = shared.agg(F.count("*"), F.sum("count")).collect()[0]
    sample = f" in a sample of one in {one_in:,} keys" if one_in > 1 else ""
    return f"{n_shared:,} documents share {n_keys:,} keys (source, doc_id){sample}" if n_keys else None


def describe_new_keys(counts: Mapping[str, ShardCount], loaded: Iterable[LoadedShard]) -> str | None:
    """One line where fewer records are blocked in shards than in loaded ones of the same content; None where none are.

    Their keys were made from the name of the shard, which is another one now.
    """
    blocked = {row.content_id: row.n_blocked for row in sorted(loaded, key=lambda row: row.n_blocked)}
    fewer = sorted(path for path, count in counts.items() if count.n_blocked < blocked.get(count.content_id, 0))
    if not fewer:
        return None
    return (
        f"records of {len(fewer):,} shards, such as {fewer[0]}, were forgotten under keys made from another name of "
        "the shard, and are loaded again: forget them by their new keys, or by --shards"
    )
