"""Reads the corpus side's Delta tables with delta-rs: no JVM on a GPU machine.

Every commit of those tables says in JSON what made it (``userMetadata``), the hashes of tokenizer and lexicon
among it. Tables made with another tokenizer are refused here, once, for every job.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from pivot_udfs.errors import TokenizerError, WarehouseError
from pivot_udfs.provenance import TableVersion


@dataclass(frozen=True)
class PinnedTable:
    """One version of a table.

    Attributes:
        name: such as ``datasets/pivot``.
        table: the table at that version.
        version: the version's number.
        made_by: what the commit says of itself; empty where it says nothing.
        warehouse: where the table and those it was made from lie.
    """

    name: str
    table: DeltaTable
    version: int
    made_by: dict[str, Any]
    warehouse: str

    @property
    def rows(self) -> TableVersion:
        """The identity of the rows, for the provenance of what is made from them."""
        return TableVersion(str(self.table.metadata().id), self.version, str(self.made_by.get("fingerprint", "")))

    @cached_property
    def dataset(self) -> ds.Dataset:
        """The version's files, listed once, so that every scan of them reads the rows in the same order."""
        return self.table.to_pyarrow_dataset()

    def file_sha256(self, kind: str) -> str | None:
        """SHA-256 (hex) of the ``tokenizer`` or ``lexicon``, as the commit or those of the tables it read say."""
        return _file_sha256(self.warehouse, self.made_by, kind, set())


def open_table(warehouse: str, name: str, version: int | None = None) -> PinnedTable:
    """A table of the warehouse at a version, the newest by default.

    Raises:
        WarehouseError: there is no such table or version, or its log was cleaned up.
    """
    path = f"{warehouse.rstrip('/')}/{name}"
    try:
        table, made_by = _load(path, version)
    except TableNotFoundError:
        raise WarehouseError(f"{path} is no Delta table: run the corpus job that makes it first") from None
    except (DeltaError, OSError) as error:
        raise WarehouseError(
            f"{path} has no readable version {version} ({error}): use a newer one, or rebuild the table"
        ) from None
    return PinnedTable(name, table, int(table.version()), made_by, warehouse)


def _load(path: str, version: int | None) -> tuple[DeltaTable, dict[str, Any]]:
    """The table at the version, and what that version's commit says of itself."""
    table = DeltaTable(path)
    newest = int(table.version())
    wanted = newest if version is None else version
    commits = table.history(limit=max(1, newest - wanted + 1))  # counts versions rightly in the newest one only
    if wanted != newest:
        table.load_as_version(wanted)
    said = [c["userMetadata"] for c in commits if c.get("version") == wanted and c.get("userMetadata")]
    found = json.loads(said[0]) if said else {}
    return table, found if isinstance(found, dict) else {}


def _file_sha256(warehouse: str, made_by: dict[str, Any], kind: str, seen: set[tuple[str, int]]) -> str | None:
    """The hash by the table's own commit, else by the first of its inputs that knows; ``seen`` ones do not."""
    own = (made_by.get("files") or {}).get(kind)
    if own is not None:
        return str(own)
    for name, version in (made_by.get("inputs") or {}).items():
        if (name, version) in seen:
            continue
        seen.add((name, version))
        try:
            _, of_input = _load(f"{warehouse.rstrip('/')}/{name}", version)
        except (DeltaError, OSError):
            continue  # rebuilt since: another input may know
        found = _file_sha256(warehouse, of_input, kind, seen)
        if found is not None:
            return found
    return None


def check_files(pinned: PinnedTable, tokenizer_sha256: str, lexicon_sha256: str | None = None) -> None:
    """Refuses a table made with another tokenizer or, where given, another lexicon.

    Raises:
        TokenizerError: the tokenizer is another one.
        WarehouseError: the commit names no tokenizer, or the lexicon is another one.
    """
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

    Raises:
        WarehouseError: files of this version were removed (vacuumed), or a column is missing.
    """
    try:
        return pinned.table.to_pyarrow_table(columns=columns)
    except (OSError, DeltaError) as error:
        raise vacuumed(pinned, error) from None
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise WarehouseError(f"{pinned.name} version {pinned.version} lacks one of {columns}: {error}") from None


def vacuumed(pinned: PinnedTable, error: Exception) -> WarehouseError:
    """The error for a version whose files are gone."""
    return WarehouseError(
        f"{pinned.name} version {pinned.version}: files of this version cannot be read ({error}); it was probably "
        "vacuumed: use a newer version, or rebuild the table"
    )
