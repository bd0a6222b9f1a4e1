"""Which older versions of a table can still be needed, so that maintenance keeps their files."""

from functools import cache, partial

from deltalake import DeltaTable

from jobs.warehouse.delta.commit_history import Content, maintained_version, read_content, rows_made_from
from jobs.warehouse.delta.open_table import open_delta
from jobs.warehouse.releases import read_release
from pivot_udfs.errors import MissingVersionError
from pivot_udfs.provenance import TableVersion
from pivot_udfs.schemas import made_by
from pivot_udfs.storage.location import Location

_COUNTED_LAST = "corpus_totals"
_COUNTS = {*made_by("count_cooccurrence")} - {_COUNTED_LAST}


class KeptVersions:
    """Older versions that the newest release or the next run needs; tables that name them are read once.

    The methods raise WarehouseError where a table that they need cannot be read.
    """

    def __init__(self, root: Location) -> None:
        self._root = root
        self._release = cache(partial(read_release, root))
        self._content = cache(partial(_content, root))

    def of(self, table: str) -> list[int]:
        """Versions of a table, other than the newest, that can still be needed.

        They are the version of the newest release, and the one to which the next run may have to roll the table back
        because an earlier run was stopped: that of the newest ``shards`` or ``corpus_totals``.
        """
        location, release = self._root.child(table), self._release()
        delta = open_delta(location)
        if delta is None:
            return []
        table_id, rows = str(delta.metadata().id), self._rows_to_restore(table, delta)
        released = release.rows(table) if release else None
        named = [rows.version] if rows and rows.id == table_id else []
        named += [release.versions[table]] if release and released and released.id == table_id else []
        versions = {maintained_version(delta, version) for version in named} - {int(delta.version())}
        return sorted(version for version in versions if _has_version(location, version))

    def is_counted(self) -> bool:
        """Whether the counts, if there are any, are those of the newest rows of ``documents``.

        Where they are not, the files by which the two differ are counted by the next run.
        """
        documents, counts = self._content("documents"), self._content(_COUNTED_LAST)
        counted = counts.provenance.tables.get("documents") if counts and counts.provenance else None
        return not documents or not counted or documents.rows == counted

    def _rows_to_restore(self, table: str, delta: DeltaTable) -> TableVersion | None:
        if table in _COUNTS:
            counts = self._content(_COUNTED_LAST)
            return rows_made_from(delta, counts.provenance.fingerprint) if counts and counts.provenance else None
        shards = self._content("shards")
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
