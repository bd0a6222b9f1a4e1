"""What the JVM of a session writes: a failure ends in one line, not in stack traces.

Java, Spark's launcher and the workers of a local session write into a pipe that a thread reads for as long as the JVM
lives. Held back are all lines until the session has started and, in a local session, all lines from the first log
record or traceback on: their cause is in the error that Spark raises. Other lines (a worker's warnings) pass through.
"""

import os
import re
import threading
from collections import deque

from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway

from jobs.framework.log_lines import write_line
from pivot_udfs.load_settings import is_secret

_N_HELD = 500
_FAILURE = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d (?:WARN|ERROR|FATAL) |Traceback \(most recent call last\)")


class JvmOutput:
    """Standard error of a JVM that this process starts."""

    def __init__(self) -> None:
        self._held: deque[str] = deque(maxlen=_N_HELD)
        self._reader: threading.Thread | None = None
        self._holding, self._is_local = True, True

    def launch(self, conf: SparkConf) -> None:
        """Starts the JVM with what a launcher must know: secrets stay off its command line, which any user can list."""
        known = SparkConf(loadDefaults=False).setAll(
            [(key, value) for key, value in conf.getAll() if not is_secret(key)]
        )
        read_end, write_end = os.pipe()
        self._reader = threading.Thread(target=self._read, args=(read_end,), daemon=True)
        self._reader.start()
        try:
            gateway = launch_gateway(known, {"stdout": write_end, "stderr": write_end})  # type: ignore[no-untyped-call]
        finally:
            os.close(write_end)
        SparkContext._ensure_initialized(gateway=gateway)

    def session_started(self, is_local: bool) -> None:
        """Lets lines pass: all, or those before the first sign of a failure in a local session."""
        self._holding, self._is_local = False, is_local

    def held(self) -> str:
        """The lines held back, the newest 500; complete where the JVM has ended."""
        if self._reader:
            self._reader.join(timeout=1)
        return "\n".join(self._held)

    def show_held(self) -> None:
        """Writes the lines held back."""
        for line in list(self._held):
            write_line(line.replace("\t", "    "), "ERROR")

    def _read(self, read_end: int) -> None:
        with open(read_end, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._take(line.rstrip("\n"))

    def _take(self, line: str) -> None:
        self._holding = self._holding or (self._is_local and bool(_FAILURE.match(line)))
        if self._holding:
            self._held.append(line)
        else:
            write_line(line, "WARNING")
