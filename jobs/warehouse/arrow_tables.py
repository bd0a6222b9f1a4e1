"""The tables of a warehouse, read through delta-rs and Arrow: for jobs that answer in seconds, without Spark."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from jobs.warehouse.check_forgotten import ForgottenRecords
from jobs.warehouse.delta.commit_history import Content
from jobs.warehouse.delta.open_table import add_actions, dataset_of, missing_version
from jobs.warehouse.releases import open_released, read_release
from pivot_udfs.errors import DamagedTableError, WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve

_PRUNED_BY = ("source", "shard")
"""Columns without nulls whose statistics exclude files."""


class ArrowTables:
    """The tables under one path, with the rows that a release has (its number; None: the newest).

    Of tables that it lacks, or where there is no release, the newest version is read. Raises WarehouseError where there
    is no such release, or a table holds what was forgotten since; reading a table whose rows of the release are no
    longer there raises MissingVersionError.
    """

    def __init__(self, path: str, release: int | None = None) -> None:
        self._root = resolve(path)
        self._release = read_release(self._root, release)
        self._forgotten = ForgottenRecords(self._root, self._release)
        self._opened: dict[str, tuple[DeltaTable, Content] | None] = {}

    @property
    def release(self) -> int | None:
        """The number of the release that is read; None where there is none."""
        return self._release.release if self._release else None

    def location(self, name: str) -> Location:
        """The folder of a table."""
        return self._root.child(name)

    def table_path(self, name: str) -> str:
        """Where a table lies, for messages."""
        return str(self.location(name))

    def content(self, name: str) -> Content | None:
        """The state of a table, None where there is no table; raises WarehouseError where its log cannot be read."""
        opened = self._open(name)
        return opened[1] if opened else None

    def delta(self, name: str) -> DeltaTable | None:
        """The table at the version whose rows the release has; None where there is no table."""
        opened = self._open(name)
        return opened[0] if opened else None

    def check(self, names: Iterable[str]) -> None:
        """Raises WarehouseError where one of these tables is not there, or its log cannot be read."""
        for name in names:
            self.existing(name)

    def existing(self, name: str) -> tuple[DeltaTable, Content]:
        """A table and its state, as ``delta`` and ``content``; raises WarehouseError where there is no table."""
        opened = self._open(name)
        if opened is None:
            raise WarehouseError(
                f"there is no table {name} at {self.table_path(name)}: run rebuild_corpus first, or correct "
                "warehouse.path"
            )
        return opened

    def provenance(self, name: str) -> Provenance:
        """The provenance of a table's rows; raises WarehouseError where there is none."""
        _, content = self.existing(name)
        if content.provenance is None:
            raise WarehouseError(
                f"{self.table_path(name)} records no provenance: run rebuild_corpus first, or correct warehouse.path"
            )
        return content.provenance

    def rows(self, name: str, columns: Sequence[str], predicate: ds.Expression) -> list[dict[str, Any]]:
        """As ``matching_rows``; raises WarehouseError also where there is no such table."""
        return matching_rows(self.location(name), self.existing(name)[0], columns, predicate)

    def _open(self, name: str) -> tuple[DeltaTable, Content] | None:
        if name not in self._opened:
            try:
                self._forgotten.check(name)
                self._opened[name] = open_released(self.location(name), name, self._release)
            except DamagedTableError as error:
                raise DamagedTableError(f"{error}: run rebuild_corpus, or restore it from a copy") from None
        return self._opened[name]


def matching_rows(
    table: Location, delta: DeltaTable, columns: Sequence[str], predicate: ds.Expression
) -> list[dict[str, Any]]:
    """Columns of the rows of a table that satisfy a predicate, read without files that statistics exclude.

    Raises WarehouseError where it cannot be read, MissingVersionError where its files are no longer there.
    """
    try:
        return _dataset(delta, table).to_table(columns=list(columns), filter=predicate).to_pylist()
    except FileNotFoundError:
        raise missing_version(table, int(delta.version()), "its files were removed") from None
    except (DeltaError, pa.ArrowException, *STORE_ERRORS) as error:
        raise WarehouseError(f"{table} cannot be read ({reason(error)}): run rebuild_corpus again") from None


def _dataset(delta: DeltaTable, location: Location) -> ds.Dataset:
    """The table's files with the bounds of ``_PRUNED_BY``.

    With the bounds that delta-rs itself adds, a predicate on a column without statistics excludes every file.
    """
    whole = dataset_of(location, delta)
    actions = add_actions(delta).to_pylist()
    bounds = {action["path"]: _bounds(action) for action in actions}
    make = whole.format.make_fragment
    fragments = [make(file, whole.filesystem, bounds.get(file)) for file in whole.files]
    return ds.FileSystemDataset(fragments, whole.schema, whole.format, whole.filesystem)


def _bounds(action: Mapping[str, Any]) -> ds.Expression:
    limits = [(name, action.get(f"min.{name}"), action.get(f"max.{name}")) for name in _PRUNED_BY]
    known = [
        (ds.field(name) >= low) & (ds.field(name) <= high) for name, low, high in limits if None not in (low, high)
    ]
    return reduce(and_, known, ds.scalar(True))
