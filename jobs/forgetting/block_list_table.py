"""The table ``blocked``: read by every run that loads shards, extended by ``forget_documents``."""

from contextlib import suppress
from functools import lru_cache

from jobs.warehouse.delta.commit_history import Content, commits_between, has_lost
from jobs.warehouse.delta.open_table import open_delta, stored_rows
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.errors import DamagedTableError, MissingVersionError, WarehouseError
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.schemas import BLOCK_LIST
from pivot_udfs.shards.block_list import NOTHING_BLOCKED, Blocked, BlockList
from pivot_udfs.storage.location import Location

_VERSION = 1


def read_entries(warehouse: Warehouse) -> set[Blocked]:
    """The rows of the block list; none where there is no table.

    Raises WarehouseError where the table was removed, though documents were loaded or forgotten with it, or is another.
    """
    content = _content(warehouse)
    return _entries(warehouse.location(BLOCK_LIST), content.newest) if content else set()


def read_block_list(warehouse: Warehouse) -> BlockList:
    """The block list for look-ups, read once in a run; errors as for ``read_entries``."""
    content = _content(warehouse)
    return _block_list(warehouse.location(BLOCK_LIST), content.id, content.newest) if content else NOTHING_BLOCKED


def _content(warehouse: Warehouse) -> Content | None:
    content = warehouse.check_source(BLOCK_LIST) if warehouse.content(BLOCK_LIST) else None
    shards = None
    with suppress(DamagedTableError):
        shards = warehouse.content("shards")
    applied = shards.tables.get(BLOCK_LIST) if shards else None
    delta = warehouse.opened(BLOCK_LIST) if applied else None
    if applied and (delta is None or has_lost(delta, applied)):
        state = "is no longer there" if delta is None else "was made anew, or its log has lost commits"
        raise WarehouseError(
            f"{warehouse.table_path(BLOCK_LIST)} {state}, so that forgotten documents would be loaded again: restore "
            "it from a copy, or choose another warehouse.path"
        )
    return content


def _entries(table: Location, version: int) -> set[Blocked]:
    return {Blocked(**row) for row in stored_rows(table, version, Blocked._fields)}


@lru_cache(maxsize=1)
def _block_list(table: Location, _id: str, version: int) -> BlockList:
    return BlockList.of(_entries(table, version))


def add_entries(warehouse: Warehouse, entries: set[Blocked]) -> None:
    """Adds to the block list, in one commit; nothing is committed where it has all of them."""
    present = read_entries(warehouse)
    if entries - present:
        rows = [entry._asdict() for entry in sorted(entries | present, key=str)]
        warehouse.commit_rows(BLOCK_LIST, rows, Provenance("forget_documents", _VERSION))


def forgot_between(warehouse: Warehouse, before: TableVersion | None, after: int) -> bool:
    """Whether documents were forgotten between two states of ``documents``; True where that is not known."""
    delta = open_delta(warehouse.location("documents")) if warehouse.content(BLOCK_LIST) else None
    if delta is None:
        return False
    commits = commits_between(delta, before.version, after) if before else None
    return commits is None or any(BLOCK_LIST in commit.tables for commit in commits)


def forgotten_between(warehouse: Warehouse, before: int, after: int) -> BlockList | None:
    """The entries blocked between two versions of ``documents``, if forgetting was the only change; else None.

    The versions differ in the documents that ``before`` has and this list blocks. None also where the commits between
    them or the block list of that time are no longer there.
    """
    delta, blocked = open_delta(warehouse.location("documents")), warehouse.content(BLOCK_LIST)
    commits = commits_between(delta, before, after) if delta else None
    applied = [commit.tables.get(BLOCK_LIST) for commit in commits or ()]
    if not applied:
        return None
    entries: set[Blocked] = set()
    for rows in applied:
        if rows is None or blocked is None or rows.id != blocked.id:
            return None
        try:
            entries |= _entries(warehouse.location(BLOCK_LIST), rows.version)
        except MissingVersionError:
            return None
    return BlockList.of(entries)
