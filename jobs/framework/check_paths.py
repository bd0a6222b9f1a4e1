"""Checks that paths of settings can be read or written, before the work begins: of both sides, it needs no Spark."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from pivot_udfs.errors import ConfigError, SetupError
from pivot_udfs.storage.stores import resolve, where

_LEAST_FREE = 32 << 20


def check_file(key: str, place: str) -> None:
    """Makes sure that a local file is there."""
    location = resolve(place)
    if location.is_local and not Path(location.path).is_file():
        raise ConfigError(f"{key} = {place}: there is no such file{where(place)}")


def check_folder(place: str, writes: bool = True, key: str = "warehouse.path") -> None:
    """Makes sure that a folder can be read, or written. It need not exist; object stores are not checked."""
    location = resolve(place)
    if location.is_local:
        check_local_folder(Path(location.path), key, place, writes)


def check_output(key: str, place: str) -> None:
    """Makes sure that a local file can be written. It and the folders above it need not exist."""
    location = resolve(place)
    if not location.is_local:
        return
    path = Path(location.path)
    if path.exists() and not path.is_file():
        raise ConfigError(f"{key} = {place}: it is no regular file: choose another path")
    if path.exists() and not os.access(path, os.W_OK):
        raise SetupError(f"{key} = {place}: the file cannot be written: change its mode, or choose another path")
    check_local_folder(path.parent, key, place)


def check_local_folder(folder: Path, key: str, place: str, writes: bool = True) -> None:
    """``check_folder`` for a path, of which messages say that ``key`` is set to ``place``."""
    there = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
    if not there.is_dir():
        what = "a link to nothing" if there.is_symlink() and not there.exists() else "a file"
        raise ConfigError(f"{key} = {place}: {there} is {what}, a folder is needed: choose another path")
    if writes:
        check_writable(there, key, place)


def check_writable(folder: Path, name: str, place: str) -> None:
    """Makes sure that a folder, which is there, can be written, and that its disk is not full."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise SetupError(
                f"{name} = {place}: {folder} cannot be written ({error.strerror}): change its mode, or choose another"
            ) from None
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        raise SetupError(
            f"{name} = {place}: the disk is full ({free / 1e6:.1f} MB free, {_LEAST_FREE / 1e6:.0f} MB needed): "
            "free space, or choose another folder"
        )
