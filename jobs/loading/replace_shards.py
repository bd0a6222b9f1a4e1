"""Replaces the rows of shards in a table, in one commit."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from jobs.warehouse.table_files import files_with_shards
from jobs.warehouse.tables import Warehouse, schema_of
from pivot_udfs.provenance import Provenance
from pivot_udfs.storage.read_parquet import rows_of_other_shards


def replace_shards(
    warehouse: Warehouse,
    table: str,
    files: Sequence[dict[str, Any]],
    removed: Collection[str] | None,
    provenance: Provenance,
) -> None:
    """Commits files with the rows of shards; nothing is committed where nothing would change.

    Args:
        warehouse: with the table.
        table: its name; the table has a column ``shard``.
        files: rows of ``write_parquet.FILES``.
        removed: the shards whose rows are removed in the same commit; None: all rows that the table has.
        provenance: of all rows.

    Raises:
        WarehouseError: another run has changed the table.
    """
    if removed is None:
        warehouse.commit(table, files, provenance)
        return
    outdated = files_with_shards(warehouse.location(table), removed)
    kept = _without(warehouse, table, outdated.mixed, removed)
    if files or outdated.whole or outdated.mixed:
        warehouse.commit(table, [*files, *kept], provenance, [*outdated.whole, *outdated.mixed])


def _without(warehouse: Warehouse, table: str, files: Sequence[str], removed: Collection[str]) -> list[dict[str, Any]]:
    """New files with the rows that files have of other shards."""
    if not files:
        return []
    step = partial(
        rows_of_other_shards,
        table=table,
        folder=warehouse.location(table).uri,
        schema=schema_of(table),
        shards=sorted(removed),
    )
    names = warehouse.spark.createDataFrame([(file,) for file in files], "file string")
    return warehouse.write_files(names.repartition(len(files)), [table], step, by_shard=[table])[table]
