"""Reads the corpus side's Delta tables with delta-rs: no JVM is needed on a GPU machine.

A table's provenance records which tokenizer and lexicon it was made with. Tables made with others are refused here, for
every job. deltalake is imported where a table is opened: a machine that has only packed files need not have it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds

from pivot_udfs.errors import DamagedTableError, TokenizerError, WarehouseError
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import resolve, table_files

if TYPE_CHECKING:
    from deltalake import DeltaTable


@dataclass(frozen=True)
class PinnedTable:
    """One version of a table.

    Attributes:
        name: such as ``datasets/pivot``.
        table: the table at that version.
        version: the version's number.
        rows: the identity of its rows, for the provenance of what is made from them; OPTIMIZE does not change it.
        provenance: what made the rows; None where the log does not record it.
        location: the table's folder.
    """

    name: str
    table: "DeltaTable"
    version: int
    rows: TableVersion
    provenance: Provenance | None
    location: Location

    @cached_property
    def dataset(self) -> ds.Dataset:
        """The version's files, listed once, so that every scan of them reads the rows in the same order."""
        return self.table.to_pyarrow_dataset(filesystem=table_files(self.location))

    def file_sha256(self, kind: str) -> str | None:
        """SHA-256 (hex) of the ``tokenizer`` or ``lexicon`` that the rows were made with; None where not recorded."""
        return self.provenance.files.get(kind) if self.provenance else None


def open_table(warehouse: str, name: str, version: int | None = None, release: int | None = None) -> PinnedTable:
    """A table of the warehouse, such as ``datasets/pivot``, at a version (None: the release's; by default the newest).

    Raises WarehouseError where there is no such table, version or release, its log was cleaned up, or it is damaged.
    """
    from jobs.warehouse.commit_history import maintained_version
    from jobs.warehouse.releases import read_release

    root = resolve(warehouse)
    location = root.child(name)
    try:
        if version is None and (released := read_release(root, release)):
            newest = _pinned(name, location, None)
            if released.holds(name, newest.rows) or name not in released.versions:
                return newest
            # Files of the released version itself may have been compacted and vacuumed since.
            version = maintained_version(newest.table, released.versions[name])
        return _pinned(name, location, version)
    except DamagedTableError as error:
        raise DamagedTableError(f"{error}: run the corpus job that makes it again") from None


def _pinned(name: str, location: Location, version: int | None) -> PinnedTable:
    from deltalake.exceptions import DeltaError

    from jobs.warehouse.commit_history import read_content
    from jobs.warehouse.open_table import check_files as check_data_files
    from jobs.warehouse.open_table import open_delta

    table = open_delta(location)
    if table is None:
        raise WarehouseError(f"{location} is no Delta table: run the corpus job that makes it first")
    newest = int(table.version())
    content = read_content(table, newest if version is None else min(version, newest))
    if version is None:
        check_data_files(location, table, content)
    try:
        table.load_as_version(newest if version is None else version)
    except (DeltaError, OSError) as error:
        raise WarehouseError(
            f"{location} has no readable version {version} ({reason(error)}): use a newer one, or rebuild the table"
        ) from None
    return PinnedTable(name, table, int(table.version()), content.rows, content.provenance, location)


def check_files(pinned: PinnedTable, tokenizer_sha256: str, lexicon_sha256: str | None = None) -> None:
    """Refuses a table made with another tokenizer (TokenizerError) or, if given, another lexicon (WarehouseError)."""
    found = pinned.file_sha256("tokenizer")
    if found is None:
        raise WarehouseError(f"{pinned.name} version {pinned.version} does not say which tokenizer made it: rebuild it")
    if found != tokenizer_sha256:
        raise TokenizerError(
            f"{pinned.name} version {pinned.version} was made with the tokenizer {found[:12]}, tokenizer.path is "
            f"{tokenizer_sha256[:12]}: set tokenizer.path to the table's, or rebuild the tables"
        )
    lexicon = pinned.file_sha256("lexicon") if lexicon_sha256 else None
    if lexicon_sha256 and lexicon and lexicon != lexicon_sha256:
        raise WarehouseError(
            f"{pinned.name} version {pinned.version} was made with the lexicon {lexicon[:12]}, "
            f"lexicon.path is {lexicon_sha256[:12]}: rebuild the table, or use its lexicon"
        )


def read_columns(pinned: PinnedTable, columns: list[str]) -> pa.Table:
    """The named columns of a whole table, as an Arrow table.

    Raises WarehouseError where files of this version were removed (vacuumed), or a column is missing.
    """
    try:
        with reading(pinned):
            return pinned.dataset.to_table(columns=columns)
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise WarehouseError(f"{pinned.name} version {pinned.version} lacks one of {columns}: {error}") from None


@contextmanager
def reading(pinned: PinnedTable) -> Iterator[None]:
    """A scan of a table, in which files that cannot be read are a ``WarehouseError``."""
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (OSError, DeltaError) as error:
        raise WarehouseError(
            f"{pinned.name} version {pinned.version}: files of this version cannot be read ({reason(error)}); it was "
            "probably vacuumed: use a newer version, or rebuild the table"
        ) from None
