"""The table ``blocked``: read by every run that loads shards, extended by ``forget_documents``."""

from collections.abc import Collection
from functools import partial

import pyarrow as pa

from jobs.warehouse.lineage import commits_between
from jobs.warehouse.open_table import open_delta
from jobs.warehouse.tables import BLOCK_LIST, Warehouse
from pivot_udfs import __version__
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import BLOCKED
from pivot_udfs.shards.block_list import Blocked, BlockList
from pivot_udfs.storage.stores import Location, table_files
from pivot_udfs.storage.write_parquet import rows_of_table, step_to_files

_VERSION = 1


def read_entries(warehouse: Warehouse) -> set[Blocked]:
    """The rows of the block list; none where there is no table.

    Raises:
        WarehouseError: the table was removed, though documents were loaded or forgotten with it.
    """
    content, shards = warehouse.content(BLOCK_LIST), warehouse.content("shards")
    if content is None and shards and BLOCK_LIST in shards.tables:
        raise WarehouseError(
            f"{warehouse.table_path(BLOCK_LIST)} is no longer there, so that forgotten documents would be loaded "
            "again: restore it, or choose another warehouse.path"
        )
    return _entries_at(warehouse.location(BLOCK_LIST), content.newest) if content else set()


def read_block_list(warehouse: Warehouse) -> BlockList:
    """The block list for look-ups; errors as for ``read_entries``."""
    return BlockList.of(read_entries(warehouse))


def add_entries(warehouse: Warehouse, entries: Collection[Blocked]) -> None:
    """Appends to the block list, in one commit, those entries that it does not have.

    Raises:
        WarehouseError: another run has changed it.
    """
    new = sorted(set(entries) - read_entries(warehouse), key=str)
    if not new:
        return
    rows = pa.RecordBatch.from_pylist([entry._asdict() for entry in new], schema=BLOCKED)
    step = partial(rows_of_table, table=BLOCK_LIST, schema=BLOCKED)
    written = step_to_files(iter([rows]), step, {BLOCK_LIST: warehouse.location(BLOCK_LIST).uri})
    files = [file for batch in written for file in batch.to_pylist()]
    warehouse.commit(BLOCK_LIST, files, Provenance("forget_documents", _VERSION, __version__), removed=[])


def forgotten_between(warehouse: Warehouse, before: int, after: int) -> BlockList | None:
    """What was blocked where forgetting is all that changed ``documents`` between two versions.

    Args:
        warehouse: with the table.
        before: a version of ``documents``.
        after: a later one.

    Returns:
        The documents in which the versions differ are those that ``before`` has and this list blocks; None where
        shards were loaded or replaced, too, or the block list of that time is no longer there.
    """
    delta = open_delta(warehouse.location("documents"))
    commits = commits_between(delta, before, after) if delta else []
    applied = [commit.tables_with.get(BLOCK_LIST) for commit in commits]
    if not applied:
        return None
    entries: set[Blocked] = set()
    for rows in applied:
        if rows is None:
            return None
        try:
            entries |= _entries_at(warehouse.location(BLOCK_LIST), rows.version)
        except WarehouseError:
            return None
    return BlockList.of(entries)


def _entries_at(table: Location, version: int) -> set[Blocked]:
    delta = open_delta(table, version)
    if delta is None:
        return set()
    rows = delta.to_pyarrow_dataset(filesystem=table_files(table)).to_table(columns=BLOCKED.names)
    return {Blocked(**row) for row in rows.to_pylist()}
