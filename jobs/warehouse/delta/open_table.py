"""Opens a table through delta-rs, and checks that its files are there."""

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast, overload

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from pyarrow import fs

from jobs.warehouse.delta.commit_history import Content, hash_of_paths
from pivot_udfs.errors import DamagedTableError, MissingVersionError, WarehouseError
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import printable, reason
from pivot_udfs.storage.store_credentials import delta_options
from pivot_udfs.storage.stores import STORE_ERRORS, delta_uri, table_files
from pivot_udfs.storage.typed_columns import pylist

LOG = "_delta_log"
MADE_ANEW = "the table was made anew since, or lost commits"
_DAMAGE = re.compile(
    "Json error|Invalid Checkpoint|contiguous commit files|metadata|protocol|Parquet error|Arrow error|CRC file|"
    "Not a directory"
)
"""What delta-rs reports of a log whose files are damaged or missing, as opposed to a store that does not answer."""
_CHECKPOINT = re.compile("Invalid Checkpoint|Parquet error|Arrow error")
"""Of these, what it reports of a checkpoint, which only saves reading the commits before it."""
_NO_CHECKPOINTS = "; if commit 0 is still there, remove its *.checkpoint.parquet and _last_checkpoint: no row is lost"
_NO_VERSION = re.compile("No files in log segment|LogSegment end version|metadata or protocol")
"""What delta-rs reports of a version that begins before the log does, or after it ends."""
_COMMIT = re.compile(rf"{LOG}/(\d{{20}})\.json")


@overload
def open_delta(table: Location, version: int) -> DeltaTable: ...


@overload
def open_delta(table: Location, version: None = None) -> DeltaTable | None: ...


def open_delta(table: Location, version: int | None = None) -> DeltaTable | None:
    """The table, at its newest version or a given one; None where there is no table and no version is given.

    Raises MissingVersionError where its log does not have the given version, DamagedTableError where its log is
    damaged, WarehouseError where it cannot be read for another reason, or is another table of this project.
    """
    if table.is_local and os.path.lexists(table.path) and not Path(table.path).is_dir():
        raise WarehouseError(f"{table} is no folder: remove it, or choose another warehouse.path")
    try:
        uri = delta_uri(table)
        delta = DeltaTable(uri, version=version, storage_options=delta_options(uri))
        present = delta.metadata().name
    except (DeltaError, *STORE_ERRORS) as error:
        why = reason(error)
        if version is not None and (isinstance(error, TableNotFoundError) or _NO_VERSION.search(why)):
            raise missing_version(table, version, "its log no longer has it") from None
        if isinstance(error, TableNotFoundError):
            return None
        kind = DamagedTableError if _DAMAGE.search(why) else WarehouseError
        hint = _NO_CHECKPOINTS if _CHECKPOINT.search(why) else ""
        raise kind(f"the log of {table} cannot be read ({why}{hint})") from None
    if present and not f"/{table.path}".endswith(f"/{present}"):
        raise WarehouseError(f"{table} holds the table {printable(present)}: put the right one there, or remove it")
    if version is None and table.is_local:
        _check_next_commit(table, delta)
    return delta


def _check_next_commit(table: Location, delta: DeltaTable) -> None:
    """Raises WarehouseError where a folder has the name of the next commit, which delta-rs takes for another run's."""
    place = Path(table.path, LOG, f"{delta.version() + 1:020}.json")
    if place.is_dir():
        raise WarehouseError(f"nothing can be committed to {table}: {printable(str(place))} is a folder: remove it")


def missing_version(table: Location, version: int, why: str) -> MissingVersionError:
    """The error of rows that are named by a version and are no longer there."""
    return MissingVersionError(
        f"version {version} of {table} is no longer there ({why}): use a newer release, or restore it from a copy"
    )


def add_actions(delta: DeltaTable) -> pa.Table:
    """One row for each data file of a table: path, size_bytes, num_records, and its statistics as flat columns."""
    return pa.table(delta.get_add_actions(flatten=True))


def data_files(delta: DeltaTable) -> dict[str, int]:
    """Size in bytes of each data file of a table, by its path within the table."""
    return sizes_in(add_actions(delta))


def sizes_in(added: pa.Table) -> dict[str, int]:
    """Size in bytes of each file of ``add_actions``, by its path within the table."""
    return dict(zip(pylist(added.column("path")), pylist(added.column("size_bytes")), strict=True))


def rows_in(added: pa.Table) -> int | None:
    """The number of rows in files (of ``add_actions``), by their statistics; None where one of them has none."""
    numbers = pylist(added.column("num_records"))
    return None if None in numbers else sum(numbers)


def dataset_of(table: Location, delta: DeltaTable) -> ds.FileSystemDataset:
    """The rows of a table as a dataset, the pages of whose files are compared with their checksums."""
    dataset = cast(ds.FileSystemDataset, delta.to_pyarrow_dataset(filesystem=table_files(table)))
    dataset.format.default_fragment_scan_options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    return dataset


def stored_rows(table: Location, version: int | None = None, columns: Collection[str] = ()) -> list[dict[str, Any]]:
    """All rows of a small table, of these columns (none: all); none where there is no table and no version.

    Raises MissingVersionError where it does not have the version, DamagedTableError where it cannot be read or lacks a
    column.
    """
    try:
        if (delta := open_delta(table, version)) is None:
            return []
        return dataset_of(table, delta).to_table(columns=list(columns) or None).to_pylist()
    except (DeltaError, pa.ArrowException, OSError, DamagedTableError) as error:
        if version is not None and isinstance(error, FileNotFoundError):
            raise missing_version(table, version, "its files were removed") from None
        remedy = f"restore it from a copy, or remove {table} and run rebuild_corpus"
        raise DamagedTableError(f"{table} cannot be read ({reason(error)}): {remedy}") from None


def check_files(table: Location, delta: DeltaTable, content: Content) -> None:
    """Compares the files that the log names with those that are there, by one listing of the table's folder.

    Raises DamagedTableError where a commit is empty or cut, rows are missing, or a data file is missing or has another
    size than it had.
    """
    sizes = stored_files(table)
    for path, n_bytes in sizes.items():
        commit = _COMMIT.fullmatch(path)
        if commit and not n_bytes and int(commit[1]) >= content.version:
            raise DamagedTableError(f"the log of {table} is damaged (commit {int(commit[1])} is empty)")
    actions = add_actions(delta)
    added, n_rows = sizes_in(actions), rows_in(actions)
    is_newest = content.exact and content.version == content.newest
    if is_newest and content.files not in (None, hash_of_paths(added)):
        raise DamagedTableError(f"the log of {table} is damaged (commit {content.version} is incomplete)")
    if content.exact and None not in (n_rows, content.n_rows) and n_rows != content.n_rows:
        raise DamagedTableError(f"{table} is damaged (it has {n_rows:,} of {content.n_rows:,} rows since OPTIMIZE)")
    for path, n_bytes in added.items():
        found = sizes.get(path)
        if "://" not in path and found != n_bytes:
            state = "is missing" if found is None else f"has {found:,} of {n_bytes:,} bytes"
            raise DamagedTableError(f"{table} is damaged (its file {path} {state})")


def stored_files(table: Location) -> dict[str, int]:
    """Size in bytes of every file, by its path within the table."""
    files = table.filesystem.get_file_info(fs.FileSelector(table.path, recursive=True))
    return {file.path.removeprefix(f"{table.path}/"): file.size for file in files if file.is_file}
