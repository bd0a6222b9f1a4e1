"""Replaces the rows of shards in a table, in one commit, and commits the table ``shards``."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from jobs.loading.loaded_shards import LoadedShard
from jobs.warehouse.spark_tables import Warehouse
from jobs.warehouse.table_files import files_with_shards
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.schemas import table_of
from pivot_udfs.storage.read_parquet import in_shards, rows_without


def replace_shards(
    warehouse: Warehouse,
    table: str,
    files: Sequence[dict[str, Any]],
    removed: Collection[str] | None,
    provenance: Provenance,
) -> None:
    """Commits ``files`` with rows of shards and removes those of ``removed`` ones (None: all).

    Nothing is committed where neither rows nor provenance would change.
    """
    if removed is None:
        warehouse.commit(table, files, provenance)
        return
    outdated = files_with_shards(warehouse.location(table), removed)
    kept = files_without(warehouse, table, outdated.mixed, partial(in_shards, shards=sorted(removed)))
    content = warehouse.content(table)
    is_same = content and content.provenance and content.provenance.fingerprint == provenance.fingerprint
    if files or any(outdated) or not is_same:
        warehouse.commit(table, [*files, *kept], provenance, outdated.whole | outdated.mixed)


def files_without(
    warehouse: Warehouse, table: str, files: Collection[str], left_out: Callable[[pa.RecordBatch], pa.BooleanArray]
) -> list[dict[str, Any]]:
    """New files (rows of ``write_parquet.FILES``) with the rows of files of a table, except for some.

    ``left_out`` says of each row of a batch whether it is left out; it runs in workers.
    """
    if not files:
        return []
    folder = warehouse.location(table).uri
    step = partial(rows_without, table=table, folder=folder, schema=table_of(table).schema, left_out=left_out)
    names = warehouse.spark.createDataFrame([(file,) for file in files], "file string")
    return warehouse.write_files(names.repartition(len(files)), [table], step, by_shard=[table])[table]


def commit_shards(
    warehouse: Warehouse, rows: Iterable[LoadedShard], provenance: Provenance, tables: Mapping[str, TableVersion]
) -> None:
    """Commits all rows of ``shards``, one for each shard, with the states of other tables that belong to them."""
    records = [shard._asdict() for shard in sorted(rows)]
    warehouse.commit_rows("shards", records, provenance, tables)
