"""Locations in local and object stores: the only way from a path or URI to a file system, on both sides.

``docs/stores.md`` lists the schemes, the libraries that use each, and where these take their credentials from.
"""

import os
import re
import tempfile
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import pyarrow as pa
from pyarrow import fs

from pivot_udfs.errors import StoreError
from pivot_udfs.storage.location import Location, utf8_path
from pivot_udfs.storage.redact import printable
from pivot_udfs.storage.store_credentials import AZURE

STORE_ERRORS = (OSError, pa.ArrowException, ImportError, StoreError)
"""Raised where a store cannot be reached, refuses access, or has no such file."""

SCHEMES = {
    "file": "file", "s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs",
    "abfss": "abfss", "abfs": "abfs", "hdfs": "hdfs", "viewfs": "viewfs",
}  # fmt: skip
"""The schemes that are accepted, and the one each is known by."""

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(/.*)", re.DOTALL)
_MISREAD_BY_DELTA_RS = re.compile(r"[\x00-\x1f\x7f-\x9f\\#?%]")


def resolve(place: str) -> Location:
    """The location of a path or URI; raises StoreError where it is of no known scheme, malformed or has credentials.

    ``place`` is a local path, relative to the working directory where it is not absolute, with any characters; or a URI
    of a scheme in ``SCHEMES``. ``file:`` URIs are percent-decoded, keys in other URIs are taken as they are.
    """
    match = _URI.fullmatch(place)
    if not match:
        return _local(place, place)
    given, rest = match[1].lower(), match[2]
    scheme = SCHEMES.get(given)
    if scheme is None:
        raise StoreError(
            f"{printable(place)} has the scheme {given!r}, which is not supported: use a local path or one of"
            f" {', '.join(SCHEMES)}"
        )
    authority, _, path = rest[2:].partition("/") if rest.startswith("//") else ("", "", rest[1:])
    if scheme == "file":
        if authority not in ("", "localhost"):
            raise _malformed(place, "file:///path")
        return _local(place, os.fsdecode(unquote_to_bytes(os.fsencode(f"/{path}"))))
    return _remote(place, scheme, authority, path.rstrip("/"))


def where(place: str) -> str:
    """For messages: where a relative local path is looked for; empty for absolute paths and URIs."""
    return "" if Path(place).is_absolute() or _URI.fullmatch(place) else f" (working directory: {Path.cwd()})"


def _local(place: str, path: str) -> Location:
    if not path or "\0" in path:
        raise _malformed(place, "a local path or a URI")
    return Location("file", "", "/" + os.path.abspath(path).lstrip("/"))  # noqa: PTH100


def _remote(place: str, scheme: str, authority: str, path: str) -> Location:
    user, _, host = authority.rpartition("@")
    if ":" in user or re.search(r"\?[\w.-]+=", path) or (scheme in ("s3", "gs") and (user or ":" in host)):
        raise StoreError(
            f"{printable(place)} contains credentials or options, which would be stored with the tables: set them in"
            " the environment (docs/stores.md)"
        )
    if scheme in ("hdfs", "viewfs"):
        return Location(scheme, authority, f"/{path}")
    bucket = user if scheme in AZURE else host
    if not bucket or not host:
        form = "container@account.dfs.core.windows.net" if scheme in AZURE else "bucket"
        raise _malformed(place, f"{scheme}://{form}/key")
    return Location(scheme, authority, f"{bucket}/{path}".rstrip("/"))


def _malformed(place: str, expected: str) -> StoreError:
    return StoreError(f"'{printable(place)}' is no path or URI of a store: write {expected}")


def delta_uri(table: Location, *, for_commit: bool = False) -> str:
    """What delta-rs takes as the URI of a table; ``delta_options`` has the options that go with it.

    delta-rs refuses paths with control characters or backslashes, misreads ``#`` and ``?``, and decodes percent escapes
    twice when it reads a log, even in a quoted URI. For such local paths the URI is that of a temporary folder with a
    link to the table's log, so that data files must be read through ``table_files``. ``for_commit`` creates the folder
    of the log where there is none, which only such a link needs.

    Raises StoreError where the path is not UTF-8, or is in an object store and has such a character; OSError where the
    temporary folder cannot be written.
    """
    is_misread = _MISREAD_BY_DELTA_RS.search(utf8_path(table.path))
    if not table.is_local and is_misread:
        raise StoreError(
            f"{table} contains {is_misread[0]!r}, which delta-rs misreads in object stores: rename the folder"
        )
    if not table.is_local:
        return f"{table.scheme}://{table.authority}/{quote(table.key)}"
    if not is_misread:
        return table.uri
    if for_commit:
        (Path(table.path) / "_delta_log").mkdir(parents=True, exist_ok=True)
    return _folder_with_log(table.path).as_uri()


@lru_cache(maxsize=1)
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="semantic-pivots-")


@lru_cache(maxsize=1024)
def _folder_with_log(path: str) -> Path:
    folder = Path(_temporary_folder().name) / sha256(path.encode()).hexdigest()[:16]
    folder.mkdir()
    (folder / "_delta_log").symlink_to(Path(path) / "_delta_log")
    return folder


def table_files(table: Location) -> fs.FileSystem:
    """The file system of a table's folder, for ``deltalake.DeltaTable.to_pyarrow_dataset(filesystem=...)``."""
    return fs.SubTreeFileSystem(table.path, table.filesystem)
