"""One file or folder in a local or object store."""

import os
from dataclasses import dataclass
from typing import BinaryIO, cast
from urllib.parse import quote

import pyarrow as pa
from pyarrow import fs

from pivot_udfs.errors import StoreError
from pivot_udfs.storage.redact import printable
from pivot_udfs.storage.store_credentials import connect

_HADOOP_SCHEMES = {"s3": "s3a"}
_READ_AHEAD_BYTES = 4 << 20
_MAX_BYTES = 256 << 20
"""Of files that are read whole: lexicons, tokenizers, lists of keys."""


@dataclass(frozen=True, slots=True)
class Location:
    """A file or folder in a store; ``resolve`` makes it.

    ``scheme`` is a value of ``SCHEMES``; ``authority`` the bucket, ``container@account`` or ``host:port``, empty for
    local files; ``path``, without a slash at its end, is within ``filesystem``: an absolute local path (``os.fsdecode``
    of its bytes), ``bucket/key``, ``container/key`` or an absolute path of the Hadoop file system.
    """

    scheme: str
    authority: str
    path: str

    @property
    def uri(self) -> str:
        """The canonical URI: percent-encoded for local files, else with the key as it is; ``resolve`` takes it."""
        if self.scheme == "file":
            return "file://" + quote(os.fsencode(self.path))
        root = f"{self.scheme}://{self.authority}"
        return f"{root}/{self.key}" if self.key or not self.authority else root

    @property
    def hadoop_path(self) -> str:
        """What Spark takes as this path: Hadoop decodes no escapes. Raises StoreError where it is not UTF-8."""
        if self.scheme == "file":
            return "file:" + utf8_path(self.path)
        return f"{_HADOOP_SCHEMES.get(self.scheme, self.scheme)}://{self.authority}/{self.key}"

    def __str__(self) -> str:
        """For messages: the path of a local file, else the URI."""
        return printable(self.path if self.is_local else self.uri)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine."""
        return self.scheme == "file"

    @property
    def filesystem(self) -> fs.FileSystem:
        """The file system, opened once a process for each bucket or host; raises STORE_ERRORS."""
        return fs.LocalFileSystem() if self.is_local else connect(self.scheme, self.authority)

    @property
    def key(self) -> str:
        """The path below the bucket, container or root."""
        in_bucket = not self.is_local and not self.path.startswith("/")
        return self.path.partition("/")[2] if in_bucket else self.path[1:]

    @property
    def _native_path(self) -> str:
        # By the stubs file systems take no bytes.
        return os.fsencode(self.path) if self.is_local else self.path  # type: ignore[return-value]

    def child(self, name: str) -> "Location":
        """The file or folder ``name`` (of one or more parts, not percent-encoded) below this one."""
        return Location(self.scheme, self.authority, f"{self.path.rstrip('/')}/{name.strip('/')}")

    def open_input(self, *, seekable: bool = False) -> BinaryIO:
        """The raw bytes of the file, never decompressed; raises STORE_ERRORS.

        ``seekable`` is for formats that are read from their end, such as Parquet; else the file is read in requests of
        4 MB.
        """
        if self.is_local and self.type() == fs.FileType.Unknown:
            raise OSError(f"{self} is no regular file")  # a FIFO would be waited for, a device may never end
        if seekable:
            return cast(BinaryIO, self.filesystem.open_input_file(self._native_path))
        stream = self.filesystem.open_input_stream(self._native_path, compression=None, buffer_size=_READ_AHEAD_BYTES)
        return cast(BinaryIO, stream)

    def read(self) -> bytes:
        """The whole content of the file, of at most 256 MiB; raises as ``open_input``."""
        with self.open_input() as stream:
            content = bytes(stream.read(_MAX_BYTES + 1))
        if len(content) > _MAX_BYTES:
            raise StoreError(f"{self} is larger than {_MAX_BYTES >> 20} MiB")
        return content

    def open_output(self) -> pa.NativeFile:
        """A stream that replaces the file; folders above it are created where the store has folders."""
        if self.scheme in ("file", "hdfs", "viewfs"):
            self.filesystem.create_dir(os.path.dirname(self._native_path), recursive=True)  # noqa: PTH120
        return self.filesystem.open_output_stream(self._native_path, compression=None)

    def write(self, content: bytes) -> None:
        """Replaces the file by this content."""
        with self.open_output() as stream:
            stream.write(content)

    def type(self) -> fs.FileType:
        """File, Directory, Unknown (such as a FIFO or a device) or NotFound; links are followed."""
        return self.filesystem.get_file_info([self._native_path])[0].type

    def exists(self) -> bool:
        """Whether there is a file or folder."""
        return bool(self.type() != fs.FileType.NotFound)


def utf8_path(path: str) -> str:
    """The path itself; raises StoreError where it is not UTF-8, which Spark and Delta need."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise StoreError(f"{printable(path)} is not UTF-8, which Spark and Delta need: rename the folder") from None
    return path
