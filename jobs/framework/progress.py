"""Progress of a run on standard error: the stage, the share of tasks done, throughput and the time left.

A thread asks Spark's status tracker for completed tasks. On a terminal one line is redrawn, in a log one is written
every ten seconds. Lines begin with the time (UTC) and the seconds since the run began.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pyspark import SparkContext
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
    core_seconds: float = 0.0
    """The sum over the stage's Spark tasks, each of which takes one core."""


class Progress:
    """Progress lines of one run, and the stages that it has completed or skipped, in order."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self.stages: list[StageRun] = []
        self.shares: Mapping[str, float] = {}
        """The stages of a rebuild, and how much of its time each takes; empty for a job that is one stage."""
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
        detail: Callable[[], str] | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> Iterator[None]:
        """Reports progress while the ``with`` block runs Spark jobs.

        ``detail`` returns more, such as a number; ``part`` is which of how many equal parts of the stage this is.
        """
        done = threading.Event()
        group = f"{stage}: {what}"
        spark.sparkContext.setJobDescription(group)  # starts the session, where nothing has
        self._watching_since = time.monotonic()
        watcher = threading.Thread(target=self._watch, args=(spark, group, detail, done, part), daemon=True)
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
        detail: Callable[[], str] | None,
        done: threading.Event,
        part: tuple[int, int],
    ) -> None:
        terminal = sys.stderr.isatty() and not is_json() and is_shown("INFO")
        interval = _POLL_SECONDS if terminal else _LOG_SECONDS
        pace = Pace()
        with tqdm(desc=label, bar_format=_BAR, file=sys.stderr, disable=not terminal, leave=False) as bar:
            while not done.wait(interval):
                stages, n_done, n_all = _tasks(spark)
                left = pace.seconds_left(time.monotonic(), stages, n_done, n_all)
                fraction = (part[0] + n_done / max(n_all, 1)) / part[1]
                whole = self.rebuild_seconds_left(label.partition(": ")[0], fraction)
                times = [f"{left:.0f} s left"] if left is not None else []
                times += [f"about {whole / 60:.0f} min for the rebuild"] if whole is not None else []
                known = ", ".join(([detail()] if detail else []) + times)
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


def core_seconds() -> float:
    """The sum of the seconds of all Spark tasks so far, on all executors; 0 where no session has started."""
    context: Any = SparkContext._active_spark_context
    if context is None:
        return 0.0
    # Not the total of executorList, which in local mode is the time since the session began.
    store = context._jsc.sc().statusStore()
    stages = store.stageList(None, False, False, getattr(store, "stageList$default$4")(), None)
    return sum(int(stages.apply(number).executorRunTime()) for number in range(stages.size())) / 1000


def _tasks(spark: SparkSession) -> tuple[frozenset[int], int, int]:
    """The ids of the running stages, the number of their completed tasks, and that of all their tasks."""
    tracker = spark.sparkContext.statusTracker()
    stages = [info for stage in tracker.getActiveStageIds() if (info := tracker.getStageInfo(stage))]
    numbers = frozenset(info.stageId for info in stages)
    return numbers, sum(info.numCompletedTasks for info in stages), sum(info.numTasks for info in stages)
