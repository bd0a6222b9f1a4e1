"""Marks a warehouse as in use, so that a second run stops before it has computed anything.

Each run has a file in ``<warehouse>/_runs``, whose name identifies the run. The file is empty until a listing that is
made after its creation shows no other live run; from then on it is rewritten every few seconds. Of runs that begin at
the same time the one whose file is first in order goes on. Ages are differences of times that the store reports, so
that the clocks of machines do not matter. The marker only saves time: commits go onto the rows that the run began from.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pyarrow import fs

from jobs.warehouse.conditional_put import check_conditional_put
from pivot_udfs.errors import StoreError, TransientError, WarehouseError
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import printable, reason
from pivot_udfs.storage.stores import STORE_ERRORS

FOLDER = "_runs"
RENEWED_SECONDS = 10.0
ENDED_SECONDS = 120.0
"""A run whose file has not been rewritten for this long was killed."""
_POLL_SECONDS = 0.5
_LOG = logging.getLogger(__name__)


class Mark(NamedTuple):
    """What the name of a run's file says."""

    started: str
    job: str
    host: str
    machine: str
    """The same for processes that see each other's ids: of one container, or of one machine since its start."""
    pid: int

    @classmethod
    def of(cls, file: str) -> "Mark | None":
        """The mark in the name of a file; None for other files."""
        match file.split("~"):
            case [started, job, host, machine, pid] if pid.isdigit():
                return cls(started, job, host, machine, int(pid))
        return None

    @property
    def file(self) -> str:
        """The name of the file; names are ordered by time."""
        return "~".join(map(str, self))

    def is_killed(self, silent_seconds: float) -> bool:
        """Whether the run has ended without removing its file, which was last written so many seconds ago."""
        if silent_seconds >= ENDED_SECONDS or self.machine != _machine():
            return silent_seconds >= ENDED_SECONDS
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, PermissionError) as error:
            return isinstance(error, ProcessLookupError)
        return False


@contextmanager
def mark_in_use(warehouse: Location, job: str) -> Iterator[Callable[[], None]]:
    """Marks a warehouse, which need not exist, as in use by a job inside the ``with`` block.

    Gives a function to call before each commit: it raises TransientError where this run was suspended for so long that
    another one took it for killed.

    Raises TransientError where another run uses the warehouse, WarehouseError where the file cannot be written,
    StoreError where the store has no conditional writes.
    """
    unknown = check_conditional_put(warehouse)
    started = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    mark, folder = Mark(started, job, socket.gethostname(), _machine(), os.getpid()), warehouse.child(FOLDER)
    file, ended = folder.child(mark.file), threading.Event()
    renewal = threading.Thread(target=_renew, args=(folder, mark, ended), daemon=True)
    try:
        _begin(folder, mark)
        if unknown:
            raise StoreError(unknown)
        renewal.start()
        yield partial(_check_held, folder, mark)
    finally:
        ended.set()
        if renewal.ident:
            renewal.join()
        with suppress(*STORE_ERRORS):
            file.filesystem.delete_file(file.path)


def _begin(folder: Location, mark: Mark) -> None:
    try:
        folder.child(mark.file).write(b"")
        began, first = time.monotonic(), dict[str, int]()
        while _must_wait(folder, mark, time.monotonic() - began, first):
            time.sleep(_POLL_SECONDS)
        folder.child(mark.file).write(b"runs\n")
    except STORE_ERRORS as error:
        raise WarehouseError(f"{folder} cannot be written or listed ({reason(error)})") from None


def _must_wait(folder: Location, mark: Mark, waited: float, first: dict[str, int]) -> bool:
    """Whether other runs begin or may still live; raises WarehouseError where another run is known to live.

    ``first`` keeps when their files were written as first seen.
    """
    files = _files(folder)
    now = _written_ns(files.get(mark.file)) + int(waited * 1e9)
    must_wait = False
    for name, info in sorted(files.items()):
        other, written = Mark.of(name), _written_ns(info)
        if other is None or other == mark:
            continue
        is_new, is_renewed = name not in first, first.setdefault(name, written) != written
        if not is_renewed and other.is_killed(max(waited, (now - written) / 1e9)):
            with suppress(FileNotFoundError):
                folder.filesystem.delete_file(info.path)
            continue
        lives = is_renewed or other.machine == mark.machine
        if (info.size and lives) or (not info.size and name < mark.file):
            raise TransientError(
                f"{folder} shows another run: {printable(f'{other.job} on {other.host}, process {other.pid}')}, begun "
                f"at {other.started}: wait until it has ended, or stop it"
            )
        if is_new:
            _LOG.warning("waiting for up to %d s to see whether %s still runs", ENDED_SECONDS, printable(name))
        must_wait = True
    return must_wait


def _renew(folder: Location, mark: Mark, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_SECONDS):
        with suppress(*STORE_ERRORS):  # the next time is soon
            if _is_taken_over(folder, mark):
                return
            folder.child(mark.file).write(b"runs\n")


def _check_held(folder: Location, mark: Mark) -> None:
    with suppress(*STORE_ERRORS):  # where it cannot be known, the commit decides
        if _is_taken_over(folder, mark):
            raise TransientError(
                f"{folder} shows that another run took this one for killed, as it was suspended for more than "
                f"{ENDED_SECONDS:g} s: it stops before its next commit; run it again when the other has ended"
            )


def _is_taken_over(folder: Location, mark: Mark) -> bool:
    """Whether another run has removed this one's file, or has begun though this one has rewritten it at that moment."""
    files = _files(folder)
    return mark.file not in files or any(i.size and Mark.of(name) and name > mark.file for name, i in files.items())


def _files(folder: Location) -> dict[str, fs.FileInfo]:
    listing = fs.FileSelector(folder.path, allow_not_found=True)
    return {info.base_name: info for info in folder.filesystem.get_file_info(listing)}


def _written_ns(info: fs.FileInfo | None) -> int:
    return (info.mtime_ns or 0) if info else 0


def _machine() -> str:
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return sha256("".join(parts).encode()).hexdigest()[:8]
