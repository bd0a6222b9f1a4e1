"""Replaces the rows of shards in a table, in one commit, and commits the table ``shards``."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

import pyarrow as pa

from jobs.framework.task_sizes import frame_of_files
from jobs.loading.compare_shards import LoadedShard
from jobs.warehouse.delta.table_files import files_with_shards
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.storage.read_parquet import APART, in_shards, rows_without, table_in
from pivot_udfs.storage.write_parquet import WrittenFile


def replace_shards(
    warehouse: Warehouse,
    table: str,
    files: Sequence[WrittenFile],
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
    sizes = {f"{table}/{file}": n_bytes for file, n_bytes in outdated.mixed.items()}
    kept = files_without(warehouse, sizes, partial(in_shards, shards=sorted(removed))).get(table, [])
    content = warehouse.content(table)
    is_same = content and content.provenance and content.provenance.fingerprint == provenance.fingerprint
    if files or any(outdated) or not is_same:
        warehouse.commit(table, [*files, *kept], provenance, outdated.whole | outdated.mixed)


def files_without(
    warehouse: Warehouse,
    files: Mapping[str, int],
    left_out: Callable[[pa.RecordBatch], pa.BooleanArray],
    apart: Collection[str] = (),
) -> dict[str, list[WrittenFile]]:
    """New files by table, with the rows of files of these tables, except for some.

    ``files``: size in bytes by path in the warehouse. ``left_out`` says of each row of a batch whether it is left out;
    it runs in workers. Files with what is left out of tables ``apart`` have the table's name after ``APART``.
    """
    if not files:
        return {}
    tables = sorted({*map(table_in, files)})
    names = [*tables, *(f"{APART}{table}" for table in tables if table in apart)]
    step = partial(rows_without, folder=warehouse.root.uri, left_out=left_out, apart=apart)
    return warehouse.write_files(frame_of_files(warehouse.spark, files), names, step, by_shard=names)


def commit_shards(
    warehouse: Warehouse, rows: Iterable[LoadedShard], provenance: Provenance, tables: Mapping[str, TableVersion]
) -> None:
    """Commits all rows of ``shards``, one for each shard, with the states of other tables that belong to them."""
    records = [shard._asdict() for shard in sorted(rows)]
    warehouse.commit_rows("shards", records, provenance, tables)
