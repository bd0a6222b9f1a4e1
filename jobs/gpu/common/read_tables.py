"""Reads the corpus side's Delta tables with delta-rs: no JVM is needed on a GPU machine.

A table's provenance records which tokenizer and lexicon it was made with. Tables made with others are refused here, for
every job. deltalake is imported where a table is opened: a machine that has only packed files need not have it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds

from pivot_udfs.errors import DamagedTableError, TokenizerError, WarehouseError
from pivot_udfs.provenance import Provenance, TableVersion, other_content
from pivot_udfs.schemas import BLOCK_LIST
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import resolve

if TYPE_CHECKING:
    from deltalake import DeltaTable


@dataclass(frozen=True)
class PinnedTable:
    """A table with the rows of one release, which ``rows`` identifies for the provenance of what is made from them."""

    name: str
    table: "DeltaTable"
    rows: TableVersion
    provenance: Provenance | None
    location: Location
    release: int | None
    """The number of the release; None where the warehouse has none."""

    @property
    def version(self) -> int:
        """The version that is read."""
        return int(self.table.version())

    @cached_property
    def dataset(self) -> ds.Dataset:
        """The version's files, listed once, so that every scan of them reads the rows in the same order."""
        from jobs.warehouse.delta.open_table import dataset_of

        return dataset_of(self.location, self.table)


def open_table(warehouse: str, name: str, release: int | None = None) -> PinnedTable:
    """A table, such as ``datasets/pivot``, with the rows that a release has (None: the newest).

    Raises WarehouseError where there is no such table or release, its log was cleaned up, it is damaged, or it holds
    what was forgotten since.
    """
    from jobs.warehouse.arrow_tables import ArrowTables
    from jobs.warehouse.delta.open_table import check_files as check_data_files

    tables = ArrowTables(warehouse, release)
    location, (table, content) = tables.location(name), tables.existing(name)
    try:
        check_data_files(location, table, content)
    except DamagedTableError as error:
        raise DamagedTableError(f"{error}: run rebuild_corpus, or restore it from a copy") from None
    return PinnedTable(name, table, content.rows, content.provenance, location, tables.release)


def block_list(warehouse: str) -> dict[str, TableVersion]:
    """The identity of the block list, by its name; empty where nothing was forgotten."""
    from jobs.warehouse.arrow_tables import ArrowTables

    content = ArrowTables(warehouse).content(BLOCK_LIST)
    return {BLOCK_LIST: content.rows} if content else {}


def may_hold_forgotten(warehouse: str, made: Provenance) -> bool:
    """Whether a file that was made from a table may have documents that were forgotten since.

    It has none where it was made with the block list that is the newest, or where its table had none.
    """
    from jobs.warehouse.check_forgotten import ForgottenRecords
    from jobs.warehouse.releases import Release

    if made.tables.get(BLOCK_LIST) == block_list(warehouse).get(BLOCK_LIST):
        return False
    versions = {name: rows.version for name, rows in made.tables.items()}
    read = ForgottenRecords(resolve(warehouse), Release(0, datetime.min, versions, made.to_json()))
    try:
        for name in made.tables:
            read.check(name)
    except WarehouseError:
        return True
    return False


def check_files(pinned: PinnedTable, tokenizer_sha256: str, lexicon_sha256: str | None = None) -> None:
    """Refuses a table made with another tokenizer (TokenizerError) or, if given, another lexicon (WarehouseError)."""
    found, made = f"{pinned.name} version {pinned.version}", pinned.provenance.files if pinned.provenance else {}
    if "tokenizer" not in made:
        raise WarehouseError(f"{found} does not say which tokenizer made it: rebuild it")
    for name, now, kind in (
        ("tokenizer", tokenizer_sha256, TokenizerError),
        ("lexicon", lexicon_sha256, WarehouseError),
    ):
        if now and made.get(name, now) != now:
            raise kind(
                f"{found} was made with {other_content(name, made[name], now)}: set {name}.path to that of the table, "
                "or rebuild the tables"
            )


def read_columns(pinned: PinnedTable, columns: list[str]) -> pa.Table:
    """The named columns of a whole table, as an Arrow table.

    Raises WarehouseError where files of this version were removed (vacuumed), or a column is missing.
    """
    with reading(pinned):
        return pinned.dataset.to_table(columns=columns)


@contextmanager
def reading(pinned: PinnedTable) -> Iterator[None]:
    """A scan of a table, in which a missing column, or a file that cannot be read, is a ``WarehouseError``."""
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (OSError, DeltaError) as error:
        raise WarehouseError(
            f"{pinned.name} version {pinned.version}: files of this version cannot be read ({reason(error)}); it was "
            "probably vacuumed: use a newer version, or rebuild the table"
        ) from None
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise WarehouseError(f"{pinned.name} version {pinned.version} lacks a column: {reason(error)}") from None
