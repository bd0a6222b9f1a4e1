"""What the JVM of a local session writes to standard error, so that a failure ends in one line and not in its traces.

Java, Spark's launcher and the session's workers inherit the file descriptor of standard error. It is replaced by a
pipe while the JVM starts; a thread reads the pipe for as long as the JVM lives. Held back are all lines until the
session is there, and later Spark's own records with their stack traces, whose cause is in the error that Spark
raises. Other lines (a worker's warnings) pass through.
"""

import os
import re
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.framework.messages import clean

_N_HELD = 500
_RECORD = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d (?:TRACE|DEBUG|INFO|WARN|ERROR|FATAL) ")
_REST_OF_TRACE = re.compile(r"\s+at |\t|Caused by:|\s+\.\.\. \d+ more|[\w.$]+(?:Exception|Error)\b|$")


class JvmOutput:
    """Standard error of a JVM that this process starts."""

    def __init__(self) -> None:
        self._held: deque[str] = deque(maxlen=_N_HELD)
        self._started, self._in_trace = False, False

    @contextmanager
    def redirected(self) -> Iterator[None]:
        """Processes started inside the ``with`` block write to the pipe, and so does this process meanwhile."""
        read_end, write_end = os.pipe()
        kept = os.dup(2)
        os.dup2(write_end, 2)
        os.close(write_end)
        threading.Thread(target=self._read, args=(read_end,), daemon=True).start()
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)

    def session_started(self) -> None:
        """From now on only Spark's own records are held back."""
        self._started = True

    def held(self) -> str:
        """The lines held back, the newest ones where there are many."""
        return "\n".join(self._held)

    def show_held(self) -> None:
        """Writes the lines held back."""
        for line in list(self._held):
            sys.stderr.write(clean(line.replace("\t", "    ")) + "\n")

    def _read(self, read_end: int) -> None:
        with open(read_end, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._take(line.rstrip("\n"))

    def _take(self, line: str) -> None:
        self._in_trace = bool(_RECORD.match(line) or (self._in_trace and _REST_OF_TRACE.match(line)))
        if self._in_trace or not self._started:
            self._held.append(line)
        else:
            sys.stderr.write(clean(line) + "\n")
