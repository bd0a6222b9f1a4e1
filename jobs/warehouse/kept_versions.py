"""Which older versions of a table can still be needed, so that maintenance keeps their files."""

from jobs.warehouse.delta.commit_history import Content, maintained_version, read_content, rows_made_from
from jobs.warehouse.delta.open_table import open_delta
from jobs.warehouse.releases import read_release
from pivot_udfs.errors import MissingVersionError
from pivot_udfs.provenance import TableVersion
from pivot_udfs.schemas import made_by
from pivot_udfs.storage.location import Location

_COUNTED_LAST = "corpus_totals"
_COUNTS = {*made_by("count_cooccurrence")} - {_COUNTED_LAST}


def kept_versions(root: Location, table: str) -> list[int]:
    """Versions of a table, other than the newest, that can still be needed.

    They are the version of the newest release, and the one to which the next run may have to roll the table back
    because an earlier run was stopped: that of the newest ``shards`` or ``corpus_totals``. Raises WarehouseError where
    the table, or one of those that name versions, cannot be read.
    """
    delta, release, rows = open_delta(root.child(table)), read_release(root), _rows_to_restore(root, table)
    if delta is None:
        return []
    table_id = str(delta.metadata().id)
    named = [rows.version] if rows and rows.id == table_id else []
    named += [release.versions[table]] if release and release.names(table, table_id) else []
    versions = {maintained_version(delta, version) for version in named} - {int(delta.version())}
    return sorted(version for version in versions if _has_version(root.child(table), version))


def is_counted(root: Location) -> bool:
    """Whether the counts, if there are any, are those of the newest rows of ``documents``.

    Where they are not, the files by which the two differ are counted by the next run. Raises WarehouseError where one
    of the tables cannot be read.
    """
    documents, counts = _content(root, "documents"), _content(root, _COUNTED_LAST)
    counted = counts.provenance.tables.get("documents") if counts and counts.provenance else None
    return not documents or not counted or documents.rows == counted


def _rows_to_restore(root: Location, table: str) -> TableVersion | None:
    if table in _COUNTS:
        counts, delta = _content(root, _COUNTED_LAST), open_delta(root.child(table))
        made = counts.provenance if counts else None
        return rows_made_from(delta, made.fingerprint) if delta and made else None
    shards = _content(root, "shards")
    return shards.tables.get(table) if shards else None


def _has_version(table: Location, version: int) -> bool:
    try:
        open_delta(table, version)
    except MissingVersionError:
        return False
    return True


def _content(root: Location, table: str) -> Content | None:
    delta = open_delta(root.child(table))
    return read_content(delta) if delta else None
