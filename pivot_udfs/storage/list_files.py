"""Lists folders of local and object stores.

Local folders are listed by ``os.scandir``, which takes names that are not UTF-8 and shows links and special files.
"""

import errno
import logging
import os
import stat
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import NamedTuple

from pyarrow import fs

from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import printable

_LOG = logging.getLogger(__name__)
_DANGLING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class Entry(NamedTuple):
    """A file or folder as listed; size and time (ns since 1970) are 0 where the store does not report them.

    ``location`` is as it was reached, perhaps through links; ``type`` is Unknown for a FIFO, socket, device or broken
    link; ``identity`` is the same for all names of one file.
    """

    location: Location
    type: fs.FileType
    n_bytes: int
    modified_ns: int
    identity: Hashable


def look_up(location: Location) -> Entry:
    """The file or folder itself; links are followed."""
    if location.is_local:
        return _local_entry(location, os.path.realpath(location.path))
    return _remote_entry(location, location.filesystem.get_file_info(location.path))


def list_folder(folder: Location, hidden: tuple[str, ...] = ()) -> list[Entry]:
    """The files and folders in a folder, sorted by name; empty where there is no such folder.

    Names that begin with one of ``hidden`` are left out, and a link to a local folder that contains the link is skipped
    with a warning.
    """
    if folder.is_local:
        return _local_folder(folder, hidden)
    selector = fs.FileSelector(folder.path, allow_not_found=True)
    entries = (_remote_entry(folder, info) for info in folder.filesystem.get_file_info(selector))
    return sorted((e for e in entries if not e.location.name.startswith(hidden)), key=lambda e: e.location.path)


def list_tree(folder: Location, hidden: tuple[str, ...] = ()) -> Iterator[Entry]:
    """The files below a folder, ``hidden`` as for ``list_folder``; listed by one request where the store is remote.

    Links to local folders are followed after the folders themselves, and each folder is listed once.
    """
    if folder.is_local:
        yield from _local_tree(folder, hidden)
        return
    selector = fs.FileSelector(folder.path, allow_not_found=True, recursive=True)
    for info in folder.filesystem.get_file_info(selector):
        entry = _remote_entry(folder, info)
        is_hidden = any(name.startswith(hidden) for name in parts_below(folder, entry))
        if entry.type != fs.FileType.Directory and not is_hidden:
            yield entry


def parts_below(folder: Location, entry: Entry) -> list[str]:
    """The names from a folder to an entry below it."""
    return entry.location.path[len(folder.path) :].strip("/").split("/")


def _remote_entry(place: Location, info: fs.FileInfo) -> Entry:
    location = replace(place, path=info.path)
    return Entry(location, info.type, info.size or 0, info.mtime_ns or 0, location.uri)


def _local_folder(folder: Location, hidden: tuple[str, ...]) -> list[Entry]:
    real = os.path.realpath(folder.path)
    try:
        with os.scandir(folder.path) as found:
            visible = sorted((each.name, each.is_symlink()) for each in found if not each.name.startswith(hidden))
    except (FileNotFoundError, NotADirectoryError):
        return []
    entries = []
    for name, is_link in visible:
        path = f"{folder.path.rstrip('/')}/{name}"
        target = os.path.realpath(path) if is_link else f"{real.rstrip('/')}/{name}"
        if is_link and f"{real}/".startswith(f"{target.rstrip('/')}/"):
            _LOG.warning("%s is a link to a folder that contains it; skipped", printable(path))
        else:
            entries.append(_local_entry(replace(folder, path=path), target))
    return entries


def _local_entry(location: Location, real: str) -> Entry:
    try:
        status = os.stat(location.path)  # noqa: PTH116 - names need not be UTF-8
    except OSError as error:
        if error.errno not in _DANGLING:
            raise
        kind = fs.FileType.Unknown if os.path.lexists(location.path) else fs.FileType.NotFound
        return Entry(location, kind, 0, 0, real)
    if stat.S_ISDIR(status.st_mode):
        return Entry(location, fs.FileType.Directory, 0, status.st_mtime_ns, real)
    kind = fs.FileType.File if stat.S_ISREG(status.st_mode) else fs.FileType.Unknown
    identity = (status.st_dev, status.st_ino) if status.st_nlink > 1 else real  # hard links are other names too
    return Entry(location, kind, status.st_size, status.st_mtime_ns, identity)


def _local_tree(root: Location, hidden: tuple[str, ...]) -> Iterator[Entry]:
    folders, links, seen = deque([root]), deque[Location](), set[str]()
    while folders or links:
        folder = (folders or links).popleft()
        real = os.path.realpath(folder.path)
        if real in seen:
            continue
        seen.add(real)
        for entry in _local_folder(folder, hidden):
            if entry.type != fs.FileType.Directory:
                yield entry
            elif entry.identity == f"{real.rstrip('/')}/{entry.location.name}":
                folders.append(entry.location)
            else:
                links.append(entry.location)
