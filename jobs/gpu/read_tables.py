"""Reads the corpus side's Delta tables with delta-rs: no JVM on a GPU machine.

Every commit of those tables says in JSON what made it (``userMetadata``), the hashes of tokenizer and lexicon
among it. Tables made with another tokenizer are refused here, once, for every job.
"""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from pivot_udfs.errors import TokenizerError, WarehouseError


@dataclass(frozen=True)
class PinnedTable:
    """One version of a table.

    Attributes:
        name: such as ``datasets/pivot``.
        table: the table at that version.
        version: the version's number.
        made_by: what the commit says of itself; empty where it says nothing.
        files: SHA-256 (hex) of tokenizer and lexicon, as the commit or those of the tables it read say.
    """

    name: str
    table: DeltaTable
    version: int
    made_by: dict[str, Any]
    files: dict[str, str]


def open_table(warehouse: str, name: str, version: int | None = None) -> PinnedTable:
    """A table of the warehouse at a version, the newest by default.

    Raises:
        WarehouseError: there is no such table or version, or its log was cleaned up.
    """
    path = f"{warehouse.rstrip('/')}/{name}"
    try:
        table = DeltaTable(path, version=version)
    except TableNotFoundError:
        raise WarehouseError(f"{path} is no Delta table: run the corpus job that makes it first") from None
    except (DeltaError, OSError) as error:
        raise WarehouseError(
            f"{path} has no readable version {version} ({error}): use a newer one, or rebuild the table"
        ) from None
    number = int(table.version())
    made_by = _made_by(table, number)
    return PinnedTable(name, table, number, made_by, _files(warehouse, made_by))


def _files(warehouse: str, made_by: dict[str, Any]) -> dict[str, str]:
    """Hashes of the files that a table was made from, itself or through the tables it was made from."""
    files: dict[str, str] = {}
    for name, version in (made_by.get("inputs") or {}).items():
        try:
            table = DeltaTable(f"{warehouse.rstrip('/')}/{name}", version=version)
        except (DeltaError, OSError):
            continue  # rebuilt since: another input may know
        files = _files(warehouse, _made_by(table, version)) | files
    return files | (made_by.get("files") or {})


def _made_by(table: DeltaTable, version: int) -> dict[str, Any]:
    for commit in table.history():
        if commit.get("version") == version and commit.get("userMetadata"):
            found = json.loads(commit["userMetadata"])
            return found if isinstance(found, dict) else {}
    return {}


def check_files(pinned: PinnedTable, tokenizer_sha256: str, lexicon_sha256: str | None = None) -> None:
    """Refuses a table made with another tokenizer or, where given, another lexicon.

    Raises:
        TokenizerError: the tokenizer is another one.
        WarehouseError: the commit names no tokenizer, or the lexicon is another one.
    """
    found = pinned.files.get("tokenizer")
    if found is None:
        raise WarehouseError(f"{pinned.name} version {pinned.version} does not say which tokenizer made it: rebuild it")
    if found != tokenizer_sha256:
        raise TokenizerError(
            f"{pinned.name} version {pinned.version} was made with the tokenizer {found[:12]}, tokenizer.path is "
            f"{tokenizer_sha256[:12]}: set tokenizer.path to the table's, or rebuild the tables"
        )
    if lexicon_sha256 and pinned.files.get("lexicon") not in (None, lexicon_sha256):
        raise WarehouseError(
            f"{pinned.name} version {pinned.version} was made with the lexicon {pinned.files['lexicon'][:12]}, "
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
