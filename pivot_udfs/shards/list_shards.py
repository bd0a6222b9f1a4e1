"""Finds the shards of a corpus: files, folders and globs, local or in object stores, as one sorted list.

Everything goes through ``pyarrow.fs``, so the driver lists and the executors open by the same rules, without
a JVM. Globs are walked one folder level at a time, so that nothing is listed that the pattern cannot reach; from
``**`` on, everything below is listed at once, which object stores answer far faster than folder by folder.
"""

import fnmatch
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from pivot_udfs.errors import CorpusError

_LOG = logging.getLogger(__name__)
_SCHEMES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs", "hdfs": "hdfs", "viewfs": "viewfs"}
_CODECS = {"": "", ".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_FORMATS = {
    f"{kind}{end}": ("jsonl", codec) for kind in (".jsonl", ".json", ".ndjson") for end, codec in _CODECS.items()
}
_FORMATS[".parquet"] = ("parquet", "")
_MAGIC = frozenset("*?[")
_READ_AHEAD_BYTES = 4 << 20

STORE_ERRORS = (OSError, pa.ArrowException, ImportError)
"""What a file system that cannot be reached, or refuses, raises."""

EXTENSIONS: tuple[str, ...] = tuple(sorted(_FORMATS))
"""The file name endings of shards, in any case."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One input file.

    Attributes:
        path: absolute local path, or URI (``s3a://`` and ``s3n://`` are written ``s3://``).
        n_bytes: size of the file as stored, compressed or not; 0 where the store does not say.
        modified_ns: time of the last change in ns since 1970; 0 where the store does not say.
    """

    path: str
    n_bytes: int
    modified_ns: int


class ShardFormat(NamedTuple):
    """What a shard's name says of its content."""

    kind: str  # "jsonl" or "parquet"
    codec: str  # "", "gzip" or "zstd"
    stem: str  # the file name without the known ending


class _Place(NamedTuple):
    filesystem: Any
    path: str  # within the filesystem
    prefix: str  # what a shard's path has before it

    def at(self, path: str) -> "_Place":
        return self._replace(path=path)


def list_shards(inputs: Sequence[str]) -> list[Shard]:
    """The shards that the inputs name, each once, sorted by path.

    Args:
        inputs: files, folders (read recursively) or globs (``*``, ``?``, ``[..]``, ``**``); local paths or
            URIs of the schemes file, s3, s3a, s3n, gs, gcs, hdfs, viewfs. In folders and globs, names that
            begin with ``.`` or ``_`` are passed over, and so are files of unknown extension, with a warning.

    Raises:
        CorpusError: an input matches nothing, cannot be reached or read, or is a file of unknown extension.
    """
    found: dict[str, Shard] = {}
    for given in inputs:
        try:
            found.update((shard.path, shard) for shard in _shards_of(given))
        except STORE_ERRORS as error:
            raise CorpusError(
                f"corpus.inputs: {given!r} cannot be listed: {error}; check the path, that it can be"
                " reached from here, and that this user may read it"
            ) from error
    return [found[path] for path in sorted(found)]


def shard_format(path: str) -> ShardFormat | None:
    """Format, compression and bare name by the path's ending; None where the ending is not known."""
    name = path.rsplit("/", 1)[-1]
    for ending, (kind, codec) in _FORMATS.items():
        if name.lower().endswith(ending):
            return ShardFormat(kind, codec, name[: -len(ending)] or name)
    return None


def open_shard(path: str, *, seekable: bool = False) -> BinaryIO:
    """The raw bytes of a shard, as stored.

    Args:
        path: ``Shard.path``.
        seekable: for formats that are read from their end, such as Parquet; else the file is read ahead in
            large pieces, in order.

    Raises:
        OSError: or another of ``STORE_ERRORS``: the file is not there, may not be read, or its store does not
            answer.
    """
    place = _locate(path)
    if seekable:
        return cast(BinaryIO, place.filesystem.open_input_file(place.path))
    stream = place.filesystem.open_input_stream(place.path, compression=None, buffer_size=_READ_AHEAD_BYTES)
    return cast(BinaryIO, stream)


def _shards_of(given: str) -> list[Shard]:
    place = _locate(given)
    info = place.filesystem.get_file_info(place.path)
    if info.type == fs.FileType.Directory:
        return _known_only(given, place, list(_files_below(place)))
    if info.type != fs.FileType.NotFound:
        return [_named_file(given, place, info)]
    if not _MAGIC.intersection(place.path):
        raise CorpusError(f"corpus.inputs: {given!r} does not exist; give a file, a folder or a glob of shards")
    return _known_only(given, place, list(_expand_glob(place)))


def _locate(given: str) -> _Place:
    scheme, colon, rest = given.partition(":")
    if not colon or not rest.startswith("/") or "/" in scheme:
        return _Place(fs.LocalFileSystem(), os.path.normpath(Path(given).absolute()), "")
    if scheme == "file":
        path = "/" + rest[2:].partition("/")[2] if rest.startswith("//") else rest
        return _Place(fs.LocalFileSystem(), os.path.normpath(unquote(path)), "")
    if scheme not in _SCHEMES or not rest.startswith("//"):
        raise CorpusError(
            f"corpus.inputs: {given!r} has the scheme {scheme!r}; known are {', '.join(['file', *_SCHEMES])}"
        )
    authority, _, path = rest[2:].partition("/")
    prefix = f"{_SCHEMES[scheme]}://"
    path = path.rstrip("/")
    if prefix in ("s3://", "gs://"):
        return _Place(_connect(prefix + authority), f"{authority}/{path}".rstrip("/"), prefix)
    return _Place(_connect(f"{prefix}{authority}/"), f"/{path}", prefix + authority)


@lru_cache(maxsize=64)
def _connect(uri: str) -> Any:
    return fs.FileSystem.from_uri(uri)[0]


def _files_below(place: _Place) -> Iterator[Any]:
    selector = fs.FileSelector(place.path, allow_not_found=True, recursive=True)
    for info in place.filesystem.get_file_info(selector):
        if info.type != fs.FileType.Directory and not any(map(_is_hidden, _below(place, info).split("/"))):
            yield info


def _below(place: _Place, info: Any) -> str:
    path: str = info.path
    return path[len(place.path) :].strip("/")


def _expand_glob(place: _Place) -> Iterator[Any]:
    parts = place.path.split("/")
    first = next(number for number, part in enumerate(parts) if _MAGIC.intersection(part))
    for info in _match_parts(place.at("/".join(parts[:first]) or "/"), parts[first:]):
        if info.type == fs.FileType.Directory:
            yield from _files_below(place.at(info.path))
        else:
            yield info


def _match_parts(folder: _Place, parts: list[str]) -> Iterator[Any]:
    """The files and folders below a folder that match the pattern's remaining parts."""
    pattern, rest = parts[0], parts[1:]
    if pattern == "**":
        for info in _files_below(folder):
            if _matches(_below(folder, info).split("/"), parts):
                yield info
        return
    for info in _visible_entries(folder):
        if fnmatch.fnmatchcase(info.base_name, pattern):
            if not rest:
                yield info
            elif info.type == fs.FileType.Directory:
                yield from _match_parts(folder.at(info.path), rest)


def _matches(names: list[str], parts: list[str]) -> bool:
    """Whether a pattern's parts match a file's path, or a folder that it lies in."""
    if not parts:
        return True
    if not names:
        return False
    if parts[0] == "**":
        return _matches(names, parts[1:]) or _matches(names[1:], parts)
    return fnmatch.fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])


def _visible_entries(folder: _Place) -> list[Any]:
    selector = fs.FileSelector(folder.path, allow_not_found=True)
    return [info for info in folder.filesystem.get_file_info(selector) if not _is_hidden(info.base_name)]


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _named_file(given: str, place: _Place, info: Any) -> Shard:
    if shard_format(info.path) is None:
        raise CorpusError(
            f"corpus.inputs: {given!r} has no known extension; shards end in {', '.join(EXTENSIONS)}: rename the file"
        )
    return _shard(place, info)


def _known_only(given: str, place: _Place, infos: list[Any]) -> list[Shard]:
    known = {info.path: info for info in infos if shard_format(info.path) is not None}
    other = sorted({info.path for info in infos} - known.keys())
    if not known:
        seen = f"{len(other)} files of other extensions, such as {other[0]}" if other else "no file"
        raise CorpusError(
            f"corpus.inputs: {given!r} holds no shard: found {seen} (names that begin with '.' or '_' are"
            f" passed over); shards end in {', '.join(EXTENSIONS)}: mend the path or rename the files"
        )
    if other:
        _LOG.warning("%s: %d files of unknown extension left aside: %s", given, len(other), ", ".join(other[:3]))
    return [_shard(place, info) for info in known.values()]


def _shard(place: _Place, info: Any) -> Shard:
    return Shard(place.prefix + info.path, info.size or 0, info.mtime_ns or 0)
