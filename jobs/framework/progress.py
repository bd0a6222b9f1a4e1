"""Progress of a run on standard error: the stage, the bytes and tasks done, throughput and the time left.

A thread asks Spark's status tracker for completed tasks, another receives the bytes that running tasks report. On a
terminal one line is redrawn, in a log one is written every ten seconds. Lines begin with the time (UTC) and the seconds
since the run began.
"""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pyspark import SparkContext
from pyspark.sql import SparkSession
from tqdm import tqdm

from jobs.framework.log_lines import is_json, is_shown, write_line
from pivot_udfs.runtime.bytes_read import ADDRESS

_POLL_SECONDS = 0.5
_LOG_SECONDS = 10.0
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
_READ = 0.99
"""Share of the files' bytes that have been read where all rows have been: footers are not counted."""
_EXECUTORS = "org.apache.spark.status.ExecutorSummaryWrapper"


class StageRun(NamedTuple):
    """What became of a stage in a run."""

    stage: str
    ran: bool
    reason: str | None
    """Why it ran; None where nothing has changed: it was skipped, or was asked for."""
    seconds: float
    core_seconds: float = 0.0
    """The sum over the stage's Spark tasks, each of which takes one core."""


class Progress:
    """Progress lines of one run, and the stages that it has completed or skipped, in order."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self.stages: list[StageRun] = []
        self.shares: Mapping[str, float] = {}
        """The stages of a rebuild, and how much of its time each takes; empty for a job that is one stage."""
        self.n_read = 0
        """The bytes that tasks reported since the last ``watch`` began."""
        self._started = self._watching_since = time.monotonic()

    def listen(self, spark: SparkSession) -> None:
        """Lets the workers of a session report the bytes that they read (``report_bytes_read``)."""
        host = str(spark.conf.get("spark.driver.host"))
        with suppress(OSError):  # progress is of tasks alone
            own = spark.conf.get("spark.driver.bindAddress", host)
            family, _, _, _, place = socket.getaddrinfo(own, 0, type=socket.SOCK_DGRAM)[0]
            receiver = socket.socket(family, socket.SOCK_DGRAM)
            receiver.bind(place)
            spark.sparkContext.environment[ADDRESS] = f"{host}:{receiver.getsockname()[1]}"
            threading.Thread(target=self._receive, args=(receiver,), daemon=True).start()

    def _receive(self, receiver: socket.socket) -> None:
        while True:
            number = receiver.recv(32)
            self.n_read += int(number) if number.isdigit() else 0

    def stage_seconds(self) -> float:
        """Seconds since the last ``watch`` began."""
        return time.monotonic() - self._watching_since

    def say(self, stage: str, message: str, **values: object) -> None:
        """Writes one line: seconds since the start, the stage, the message; as JSON also the values.

        The level is WARNING where the message begins with ``warning: ``, else INFO.
        """
        elapsed = time.monotonic() - self._started
        level = "WARNING" if message.startswith("warning: ") else "INFO"
        name, _, what = stage.partition(": ")
        whole, numbers = f"{what}: {message}" if what else message, values | {"elapsed_seconds": round(elapsed, 1)}
        write_line(
            f"[{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {elapsed:7.1f} s] {stage}: {message}", level, name, whole, numbers
        )

    def rebuild_seconds_left(self, stage: str, fraction: float) -> float | None:
        """An estimate for all stages of a rebuild, a fraction of one being done; None before a fifth is.

        Stages that were not reached yet are taken to run.
        """
        ran = {one.stage: one.ran for one in self.stages} | {stage: True}
        current = self.shares.get(stage, 0.0)
        done = sum(share for name, share in self.shares.items() if ran.get(name)) - current * (1 - fraction)
        ahead = sum(share for name, share in self.shares.items() if name not in ran) + current * (1 - fraction)
        is_known = current and done >= (done + ahead) / 5
        return (time.monotonic() - self._started) * ahead / done if is_known else None

    @contextmanager
    def watch(
        self,
        spark: SparkSession,
        stage: str,
        what: str,
        detail: Callable[[], tuple[str, Mapping[str, object]]] | None = None,
        part: tuple[int, int] = (0, 1),
        n_bytes: int = 0,
    ) -> Iterator[None]:
        """Reports progress while the ``with`` block runs Spark jobs.

        ``detail`` returns more, as text and as values of JSON lines; ``part`` is which of how many equal parts of the
        stage this is; ``n_bytes`` are those of the files that tasks read, where that is known.
        """
        done = threading.Event()
        group = f"{stage}: {what}"
        spark.sparkContext.setJobDescription(group)  # starts the session, where nothing has
        self._watching_since, self.n_read = time.monotonic(), 0
        watcher = threading.Thread(target=self._watch, args=(spark, group, detail, done, part, n_bytes), daemon=True)
        watcher.start()
        try:
            yield
            if is_json():
                values = {"seconds": round(self.stage_seconds(), 1)}
                write_line("", stage=stage, message=f"{what}: finished", values=values)
        finally:
            done.set()
            watcher.join()
            spark.sparkContext.setJobDescription("")

    def _watch(
        self,
        spark: SparkSession,
        label: str,
        detail: Callable[[], tuple[str, Mapping[str, object]]] | None,
        done: threading.Event,
        part: tuple[int, int],
        n_bytes: int,
    ) -> None:
        terminal = sys.stderr.isatty() and not is_json() and is_shown("INFO")
        interval = _POLL_SECONDS if terminal else _LOG_SECONDS
        pace = Pace()
        with tqdm(desc=label, bar_format=_BAR, file=sys.stderr, disable=not terminal, leave=False) as bar:
            while not done.wait(interval):
                stages, *tasks = _tasks(spark)
                n_read = min(self.n_read, n_bytes)
                n_done, n_all = (n_read, n_bytes) if 0 < n_read < _READ * n_bytes else tasks
                left = pace.seconds_left(time.monotonic(), stages, n_done, n_all)
                share = n_read / n_bytes if n_read else n_done / max(n_all, 1)
                whole = self.rebuild_seconds_left(label.partition(": ")[0], (part[0] + share) / part[1])
                known = [f"{n_read / 1e6:.1f} of {n_bytes / 1e6:.1f} MB read"] if n_read else []
                more, values = detail() if detail else ("", {})
                known += [f"{tasks[0]} of {tasks[1]} tasks"] + ([more] if more else [])
                known += [f"{left:.0f} s left"] if left is not None else []
                known += [f"about {max(whole / 60, 1):.0f} min left of the rebuild"] if whole is not None else []
                if terminal:
                    bar.total, bar.n = 1.0, share
                    bar.set_postfix_str(", ".join(known))
                elif n_all:
                    read = {"bytes_read": n_read, "bytes": n_bytes} if n_read else {}
                    of_tasks = {"tasks_done": tasks[0], "tasks": tasks[1]}
                    times = {"seconds_left": left, "rebuild_seconds_left": whole}
                    rounded = {name: round(time) for name, time in times.items() if time is not None}
                    self.say(label, ", ".join(known), **read, **of_tasks, **values, **rounded)


class Pace:
    """How fast the running Spark stages complete their tasks; the clock restarts with each new stage."""

    def __init__(self) -> None:
        self._stages: frozenset[int] = frozenset()
        self._since, self._n_before = 0.0, 0

    def seconds_left(self, now: float, stages: frozenset[int], n_done: int, n_all: int) -> float | None:
        """Seconds until the running stages end; None until one of their tasks has completed under observation.

        ``now`` is of a monotonic clock, ``stages`` are ids, ``n_done`` of ``n_all`` tasks are complete.
        """
        if stages != self._stages:
            self._stages, self._since, self._n_before = stages, now, n_done
        n_seen = n_done - self._n_before
        return (now - self._since) * (n_all - n_done) / n_seen if n_seen > 0 else None


def core_seconds() -> float:
    """The sum of the seconds of all Spark tasks so far, on all executors; 0 where no session has started."""
    context: Any = SparkContext._active_spark_context
    if context is None:
        return 0.0
    # Spark's own sums: executorList gives in local mode the time since the session began, and lists of stages or tasks
    # keep only the newest.
    kept = context._jsc.sc().statusStore().store()
    executors = kept.view(context._jvm.java.lang.Class.forName(_EXECUTORS)).iterator()
    total = 0
    while executors.hasNext():
        total += int(executors.next().info().totalDuration())
    return total / 1000


def _tasks(spark: SparkSession) -> tuple[frozenset[int], int, int]:
    """The ids of the running stages, the number of their completed tasks, and that of all their tasks."""
    tracker = spark.sparkContext.statusTracker()
    stages = [info for stage in tracker.getActiveStageIds() if (info := tracker.getStageInfo(stage))]
    numbers = frozenset(info.stageId for info in stages)
    return numbers, sum(info.numCompletedTasks for info in stages), sum(info.numTasks for info in stages)
