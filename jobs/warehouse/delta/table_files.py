"""The data files of a table: which hold the rows of a shard, and which differ between two versions."""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from deltalake import DeltaTable

from jobs.warehouse.delta.commit_history import Commit, commits_of, has_files, has_rows, maintained_version
from jobs.warehouse.delta.open_table import add_actions, data_files, missing_version, open_delta, rows_in, sizes_in
from pivot_udfs.errors import MissingVersionError
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.read_parquet import open_parquet
from pivot_udfs.storage.typed_columns import pylist

_THREADS = 16
"""Files of several shards that are read at a time, mostly waiting for a store."""


class ShardFiles(NamedTuple):
    """The files of a table that hold rows of given shards: sizes in bytes by path."""

    whole: dict[str, int]
    """Files without rows of other shards."""
    mixed: dict[str, int]
    """Files with rows of other shards, too."""


class FileChanges(NamedTuple):
    """How the files of two versions of a table differ: sizes in bytes by path."""

    added: dict[str, int]
    removed: dict[str, int]


def files_with_shards(table: Location, shards: Collection[str]) -> ShardFiles:
    """Finds the rows of shards by the files' statistics, and in files of several shards by their column ``shard``."""
    delta, wanted, removed = open_delta(table), sorted(shards), set(shards)
    ranges = _ranges(delta, "shard") if delta and wanted else ()
    near = [(path, least, most) for path, least, most in ranges if _any_between(wanted, least, most)]
    sizes, found = data_files(delta) if near and delta else {}, ShardFiles({}, {})
    with ThreadPoolExecutor(_THREADS) as threads:
        inside = threads.map(lambda file: {file[1]} if file[1] == file[2] else _shards_in(table.child(file[0])), near)
        for (path, _, _), of_file in zip(near, inside, strict=True):
            if not of_file.isdisjoint(removed):
                (found.whole if of_file <= removed else found.mixed)[path] = sizes[path]
    return found


def _shards_in(file: Location) -> set[str]:
    with open_parquet(file) as parquet:
        return set(pylist(parquet.read(["shard"]).column("shard").unique()))


def files_between(table: Location, column: str, values: Collection[str]) -> dict[str, int]:
    """The files whose statistics for a column of strings allow for one of these values: size in bytes by path."""
    delta, wanted = open_delta(table), sorted(values)
    sizes = data_files(delta) if delta and wanted else {}
    ranges = _ranges(delta, column) if delta and sizes else ()
    return {path: sizes[path] for path, least, most in ranges if _any_between(wanted, least, most)}


def _any_between(wanted: Sequence[str], least: str, most: str) -> bool:
    first = bisect_left(wanted, least)
    return first < len(wanted) and wanted[first] <= most


def _ranges(delta: DeltaTable, column: str) -> Iterator[tuple[str, str, str]]:
    """Path, least and largest value of each file; of a file without statistics the range of all texts."""
    ends = (f"min.{column}", f"max.{column}")
    actions = add_actions(delta)
    for row in actions.select([name for name in actions.column_names if name in ("path", *ends)]).to_pylist():
        least, most = (row.get(end) for end in ends)
        yield row["path"], least or "", chr(0x10FFFF) if most is None else most


def shards_in(table: Location, files: Collection[str]) -> frozenset[str]:
    """The shards that have rows in files of a table, read from their column ``shard``."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return frozenset().union(*threads.map(_shards_in, map(table.child, files)))


def changed_files(table: Location, before: int | None, after: int) -> FileChanges | None:
    """The files by which the rows of a table differ between two versions; ``before`` None: no rows.

    None where that cannot be known any more: the log was cleaned up or damaged, or a file was vacuumed or cut.
    """
    delta = open_delta(table)
    if delta is None:
        return None
    newest, commits = data_files(delta).keys(), commits_of(delta)
    try:
        earlier = (
            {} if before is None else _files_at(table, commits, maintained_version(delta, before, commits), before)
        )
        # Where OPTIMIZE and VACUUM have replaced the files of ``after``, the rows are in those of a later version.
        for version in dict.fromkeys((after, maintained_version(delta, after, commits))):
            later = _files_at(table, commits, version, after)
            changes = FileChanges(
                {path: size for path, size in later.items() if path not in earlier},
                {path: size for path, size in earlier.items() if path not in later},
            )
            old = {path: size for path, size in (changes.added | changes.removed).items() if path not in newest}
            found = table.filesystem.get_file_info([table.child(path).path for path in old])
            if [info.size for info in found] == list(old.values()):
                return changes
    except MissingVersionError:
        return None
    return None


def _files_at(table: Location, commits: Sequence[Commit], version: int, made: int) -> dict[str, int]:
    """The files of a version whose rows are those that version ``made`` has made."""
    delta = open_delta(table, version)
    actions = add_actions(delta)
    files = sizes_in(actions)
    if not has_files(commits, version, files) or not has_rows(commits, made, rows_in(actions)):
        raise missing_version(table, version, "its commit is damaged")
    return files
