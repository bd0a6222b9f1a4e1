"""Progress of a run on standard error: the stage, the share of tasks done, throughput and the time left.

A thread asks Spark's status tracker for completed tasks. On a terminal one line is redrawn, in a log one is written
every ten seconds.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from pyspark.sql import SparkSession
from tqdm import tqdm

from jobs.framework.log_lines import is_json, is_shown, write_line

_POLL_SECONDS = 0.5
_LOG_SECONDS = 10.0
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} tasks [{elapsed}{postfix}]"


class StageRun(NamedTuple):
    """What became of a stage in a run."""

    stage: str
    ran: bool
    reason: str | None
    """Why it ran; None where nothing has changed: it was skipped, or was asked for."""
    seconds: float


class Progress:
    """Progress lines of one run, and the stages that it has completed or skipped, in order."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self.stages: list[StageRun] = []
        self._started = self._watching_since = time.monotonic()

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
        write_line(f"[{elapsed:7.1f} s] {stage}: {message}", level, name, whole, numbers)

    @contextmanager
    def watch(
        self, spark: SparkSession, stage: str, what: str, detail: Callable[[], str] | None = None
    ) -> Iterator[None]:
        """Reports progress while the ``with`` block runs Spark jobs; ``detail`` returns more, such as a number."""
        done = threading.Event()
        group = f"{stage}: {what}"
        spark.sparkContext.setJobDescription(group)  # starts the session, where nothing has
        self._watching_since = time.monotonic()
        watcher = threading.Thread(target=self._watch, args=(spark, group, detail, done), daemon=True)
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

    def _watch(self, spark: SparkSession, label: str, detail: Callable[[], str] | None, done: threading.Event) -> None:
        terminal = sys.stderr.isatty() and not is_json() and is_shown("INFO")
        interval = _POLL_SECONDS if terminal else _LOG_SECONDS
        pace = Pace()
        with tqdm(desc=label, bar_format=_BAR, file=sys.stderr, disable=not terminal, leave=False) as bar:
            while not done.wait(interval):
                stages, n_done, n_all = _tasks(spark)
                left = pace.seconds_left(time.monotonic(), stages, n_done, n_all)
                known = ", ".join(([detail()] if detail else []) + ([f"{left:.0f} s left"] if left is not None else []))
                if terminal:
                    bar.total, bar.n = n_all or None, n_done
                    bar.set_postfix_str(known)
                elif n_all:
                    self.say(label, f"{n_done} of {n_all} tasks{', ' + known if known else ''}")


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


def _tasks(spark: SparkSession) -> tuple[frozenset[int], int, int]:
    """The ids of the running stages, the number of their completed tasks, and that of all their tasks."""
    tracker = spark.sparkContext.statusTracker()
    stages = [info for stage in tracker.getActiveStageIds() if (info := tracker.getStageInfo(stage))]
    numbers = frozenset(info.stageId for info in stages)
    return numbers, sum(info.numCompletedTasks for info in stages), sum(info.numTasks for info in stages)
