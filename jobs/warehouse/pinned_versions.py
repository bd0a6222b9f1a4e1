"""The versions of tables that later runs read beside the newest ones, so that VACUUM must keep their files."""

from jobs.warehouse.lineage import Content, maintained_version, read_content, rows_made_from
from jobs.warehouse.open_table import open_delta
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import TableVersion
from pivot_udfs.storage.stores import Location

_COUNTS = ("token_totals", "word_totals", "word_cooccurrence", "token_cooccurrence")
_COUNTED_LAST = "corpus_totals"


def pinned_versions(root: Location, table: str) -> list[int]:
    """Versions of a table to which the next run may have to roll it back, where an earlier run was stopped.

    Args:
        root: the warehouse.
        table: its name.

    Returns:
        the version that belongs to the newest rows of ``shards`` or of ``corpus_totals``, if it is not the newest.
    """
    try:
        delta, rows = open_delta(root.child(table)), _rows_to_keep(root, table)
        if delta is None or rows is None or str(delta.metadata().id) != rows.id:
            return []
        version = maintained_version(delta, rows.version)
        if version == delta.version():
            return []
        open_delta(root.child(table), version)
    except WarehouseError:
        return []  # no version can be restored
    return [version]


def is_counted(root: Location) -> bool:
    """Whether the counts, if there are any, are those of the newest rows of ``documents``.

    Where they are not, the files by which the two differ are counted by the next run.
    """
    documents, counts = _content(root, "documents"), _content(root, _COUNTED_LAST)
    counted = counts.provenance.tables.get("documents") if counts and counts.provenance else None
    return not documents or not counted or documents.rows == counted


def _rows_to_keep(root: Location, table: str) -> TableVersion | None:
    if table in _COUNTS:
        counts, delta = _content(root, _COUNTED_LAST), open_delta(root.child(table))
        made = counts.provenance if counts else None
        return rows_made_from(delta, made.fingerprint) if delta and made else None
    shards = _content(root, "shards")
    return shards.tables.get(table) if shards else None


def _content(root: Location, table: str) -> Content | None:
    try:
        delta = open_delta(root.child(table))
    except WarehouseError:
        return None
    return read_content(delta) if delta else None
