"""Finds the shards of a corpus: files, folders and globs, local or in object stores, as one sorted list.

Globs are walked one folder level at a time, so that nothing is listed that the pattern cannot reach; from ``**`` on,
everything below is listed at once, which object stores answer far faster than folder by folder.
"""

import fnmatch
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pyarrow import fs

from pivot_udfs.errors import CorpusError
from pivot_udfs.storage.list_files import Entry, list_folder, list_tree, look_up, parts_below
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import printable, reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve, where

_LOG = logging.getLogger(__name__)
_CODECS = {"": "", ".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_FORMATS = {
    f"{kind}{end}": ("jsonl", codec) for kind in (".jsonl", ".json", ".ndjson") for end, codec in _CODECS.items()
}
_FORMATS[".parquet"] = ("parquet", "")
HIDDEN = (".", "_")
"""Beginnings of names that are skipped in folders and globs."""
_MAGIC = frozenset("*?[")
_MOST_NAMES = 10
"""How many files a warning names."""

EXTENSIONS: tuple[str, ...] = tuple(sorted(_FORMATS))
"""The file name endings of shards, in any case."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One input file: absolute local path or URI, bytes as stored, time of the last change in ns since 1970.

    ``s3a://`` and ``s3n://`` are written ``s3://``, a local path that is not UTF-8 is a ``file://`` URI. Size and time
    are 0 where the store does not report them.
    """

    path: str
    n_bytes: int
    modified_ns: int


class ShardFormat(NamedTuple):
    """What a shard's name says of its content."""

    kind: str  # "jsonl" or "parquet"
    codec: str  # "", "gzip" or "zstd"
    stem: str  # the file name without the known ending


def list_shards(inputs: Sequence[str]) -> list[Shard]:
    """The shards that the inputs name, each once, sorted by path.

    Inputs are files, folders (read recursively) or globs (``*``, ``?``, ``[..]``, ``**``): local paths or URIs of
    ``stores.SCHEMES``. In folders and globs, names that begin with ``.`` or ``_`` are skipped, and so are, with a
    warning, files of unknown extension and what is no regular file. A file with several names (links, or inputs that
    overlap) is one shard: by its own path where that is among them, else by the first of its names.

    Raises CorpusError where an input matches nothing, cannot be reached or read, or is a file of unknown extension or a
    Delta table.
    """
    entries: list[Entry] = []
    for given in inputs:
        try:
            entries += _shards_of(given)
        except STORE_ERRORS as error:
            why = f"{reason(error)}; check the path, that it can be reached from here, and that this user may read it"
            raise _refused(given, f"cannot be listed: {why}") from error
    return [Shard(shard_path(entry.location), entry.n_bytes, entry.modified_ns) for entry in _each_once(entries)]


def _refused(given: str, why: str) -> CorpusError:
    return CorpusError(f"corpus.inputs: '{printable(given)}'{where(given)} {why}")


def shard_format(path: str) -> ShardFormat | None:
    """Format, compression and bare name by the path's ending; None where the ending is not known."""
    name = path.rsplit("/", 1)[-1]
    for ending, (kind, codec) in _FORMATS.items():
        if name.lower().endswith(ending):
            return ShardFormat(kind, codec, name[: -len(ending)] or name)
    return None


def _shards_of(given: str) -> list[Entry]:
    location = resolve(given)
    named = look_up(location)
    if named.type == fs.FileType.Directory:
        if look_up(location.child("_delta_log")).type == fs.FileType.Directory:
            rows = "its folder has rows that were deleted or replaced too"
            raise _refused(given, f"is a Delta table: {rows}; write those it has now to a folder of Parquet files")
        return _shards_only(given, list_tree(location, HIDDEN))
    if named.type == fs.FileType.File and shard_format(location.path) is None:
        raise _refused(given, f"has no known extension; shards end in {', '.join(EXTENSIONS)}: rename the file")
    if named.type == fs.FileType.File:
        return [named]
    if named.type == fs.FileType.Unknown:
        raise _refused(given, "is no regular file (a FIFO, device or broken link)")
    if not _MAGIC.intersection(location.path):
        raise _refused(given, "does not exist; give a file, a folder or a glob of shards")
    return _shards_only(given, _expand_glob(location))


def _expand_glob(pattern: Location) -> Iterator[Entry]:
    parts = pattern.path.split("/")
    first = next(number for number, part in enumerate(parts) if _MAGIC.intersection(part))
    for entry in _match_parts(replace(pattern, path="/".join(parts[:first]) or "/"), parts[first:]):
        if entry.type == fs.FileType.Directory:
            yield from list_tree(entry.location, HIDDEN)
        else:
            yield entry


def _match_parts(folder: Location, parts: list[str]) -> Iterator[Entry]:
    """The files and folders below a folder that match the pattern's remaining parts."""
    pattern, rest = parts[0], parts[1:]
    if pattern == "**":
        for entry in list_tree(folder, HIDDEN):
            if matches_parts(parts_below(folder, entry), parts):
                yield entry
        return
    for entry in list_folder(folder, HIDDEN):
        if fnmatch.fnmatchcase(entry.location.name, pattern):
            if not rest:
                yield entry
            elif entry.type == fs.FileType.Directory:
                yield from _match_parts(entry.location, rest)


def matches_parts(names: list[str], parts: list[str]) -> bool:
    """Whether the parts of a glob match those of a file's path, or of a folder that it lies in."""
    if not parts:
        return True
    if not names:
        return False
    if parts[0] == "**":
        return matches_parts(names, parts[1:]) or matches_parts(names[1:], parts)
    return fnmatch.fnmatchcase(names[0], parts[0]) and matches_parts(names[1:], parts[1:])


def _shards_only(given: str, entries: Iterable[Entry]) -> list[Entry]:
    """The regular files whose names are those of shards; the others are named in warnings."""
    by_path = {entry.location.path: entry for entry in entries}
    known = {path for path in by_path if shard_format(path) is not None}
    shards = [by_path[path] for path in sorted(known) if by_path[path].type == fs.FileType.File]
    skipped = {
        "files of unknown extension": by_path.keys() - known,
        "shards that are no regular files (FIFOs, sockets, devices, broken links)": known
        - {entry.location.path for entry in shards},
    }
    others = [f"{len(paths)} {kind}, such as {_names(paths, 1)}" for kind, paths in skipped.items() if paths]
    if not by_path:
        why = "found no file (names that begin with '.' or '_' are skipped): mount its folder, or correct the path"
        raise _refused(given, f"holds no shard: {why}")
    if not shards:
        remedy = f"shards end in {', '.join(EXTENSIONS)}: correct the path, or convert the files (docs/tutorial.md)"
        raise _refused(given, f"holds no shard: found {' and '.join(others)}; {remedy}")
    for kind, paths in skipped.items():
        if paths:
            _LOG.warning("%s: %d %s skipped: %s", printable(given), len(paths), kind, _names(paths, _MOST_NAMES))
    return shards


def _names(paths: Iterable[str], most: int) -> str:
    return ", ".join(printable(path) for path in sorted(paths)[:most])


def _each_once(entries: Iterable[Entry]) -> list[Entry]:
    """One entry for each file, sorted by path."""
    by_preference = sorted(entries, key=lambda entry: (entry.location.path != entry.identity, entry.location.path))
    chosen: dict[object, Entry] = {}
    for entry in by_preference:
        chosen.setdefault(entry.identity, entry)
    kept = {entry.location for entry in chosen.values()}
    links = [location.path for location in {entry.location for entry in by_preference} - kept]
    if links:
        _LOG.warning("%d links to shards read by another name skipped: %s", len(links), _names(links, _MOST_NAMES))
    return sorted(chosen.values(), key=lambda entry: shard_path(entry.location))


def shard_path(location: Location) -> str:
    """``Shard.path`` of a file."""
    is_utf8 = location.path.isascii() or not any("\ud800" <= c <= "\udfff" for c in location.path)
    return location.path if location.is_local and is_utf8 else location.uri
