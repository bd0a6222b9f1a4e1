"""The versions of tables that later runs read beside the newest ones, so that VACUUM must keep their files."""

from contextlib import suppress

from deltalake import DeltaTable

from jobs.warehouse.commit_history import Content, maintained_version, read_content, rows_made_from
from jobs.warehouse.open_table import open_delta
from jobs.warehouse.releases import read_release
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import TableVersion
from pivot_udfs.schemas import made_by
from pivot_udfs.storage.location import Location

_COUNTED_LAST = "corpus_totals"
_COUNTS = {*made_by("count_cooccurrence")} - {_COUNTED_LAST}


def kept_versions(root: Location, table: str) -> list[int]:
    """Versions of a table, other than the newest, that can still be needed.

    They are the version of the newest release, and the one to which the next run may have to roll the table back
    because an earlier run was stopped: that of the newest ``shards`` or ``corpus_totals``.
    """
    try:
        delta, release = open_delta(root.child(table)), read_release(root)
        rows = _rows_to_restore(root, table)
    except WarehouseError:
        return []  # of a damaged table no version can be restored
    if delta is None:
        return []
    named = [rows.version] if rows and rows.id == str(delta.metadata().id) else []
    named += [release.versions[table]] if release and table in release.versions else []
    versions = {maintained_version(delta, version) for version in named} - {int(delta.version())}
    return sorted(version for version in versions if _opened(root.child(table), version))


def is_counted(root: Location) -> bool:
    """Whether the counts, if there are any, are those of the newest rows of ``documents``.

    Where they are not, the files by which the two differ are counted by the next run.
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


def _opened(table: Location, version: int | None = None) -> DeltaTable | None:
    with suppress(WarehouseError):
        return open_delta(table, version)
    return None


def _content(root: Location, table: str) -> Content | None:
    delta = _opened(root.child(table))
    return read_content(delta) if delta else None
