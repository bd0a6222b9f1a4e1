"""The progress of a run: time left, and counts of shards that change while they are read."""

import json
import time
from collections.abc import Callable, Iterator, ValuesView
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.framework import log_lines
from jobs.framework import progress as progress_module
from jobs.framework.progress import Pace, Progress, StageRun, core_seconds
from jobs.loading.check_quarantine import progress_message
from pivot_udfs.runtime.bytes_read import ADDRESS, report_bytes_read
from pivot_udfs.storage.read_parquet import read_listed
from pivot_udfs.tokenize_corpus import ShardCount, ShardCounts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_time_left_is_of_the_stages_that_run_now() -> None:
    pace = Pace()
    first, second = frozenset({1}), frozenset({2})
    assert pace.seconds_left(100.0, first, 0, 8) is None
    assert pace.seconds_left(160.0, first, 6, 8) == pytest.approx(20.0)
    assert pace.seconds_left(170.0, second, 2, 100) is None, "two of its tasks ended before it was observed"
    assert pace.seconds_left(171.0, second, 12, 100) == pytest.approx(8.8)
    assert pace.seconds_left(180.0, second, 100, 100) == 0.0


def test_there_is_no_time_left_before_a_task_has_ended() -> None:
    pace = Pace()
    assert pace.seconds_left(1.0, frozenset(), 0, 0) is None
    assert pace.seconds_left(2.0, frozenset({1}), 3, 9) is None
    assert pace.seconds_left(5.0, frozenset({1}), 3, 9) is None


def test_numbers_are_fields_of_json_lines_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Progress().say("a_stage", "3 shards", shards=3)
    assert capsys.readouterr().err.endswith(" s] a_stage: 3 shards\n")
    monkeypatch.setattr(log_lines, "_json_job", ["a_job"])
    Progress().say("a_stage", "3 shards", shards=3)
    found = json.loads(capsys.readouterr().err)
    assert (found["stage"], found["message"], found["shards"]) == ("a_stage", "3 shards", 3)


class GrowingCounts(ShardCounts):
    """Another thread adds a shard while the values are read."""

    def values(self) -> ValuesView[ShardCount]:
        found = super().values()
        iterator = iter(found)
        next(iterator)
        self[f"shard {len(self)}"] = ShardCount(1, 0, 1)
        next(iterator)
        return found


def test_shard_counts_that_grow_while_they_are_read_are_reported() -> None:
    counts = GrowingCounts(a=ShardCount(2, 1, 30), b=ShardCount(3, 0, 70))
    sizes = {"a": 1_500_000, "b": 600_000, "c": 900_000}
    known: dict[int, float] = {}
    line = "2 of 3 shards, 2.1 of 3.0 MB, 5 documents, 10 tokens/s"
    numbers = {"shards_read": 2, "shards": 3, "bytes_read": 2_100_000, "bytes": 3_000_000}
    numbers |= {"documents": 5, "tokens_per_second": 10}
    assert progress_message(counts, sizes, 10.0, known) == (line, numbers)
    later = progress_message(ShardCounts(a=counts["a"], b=counts["b"]), sizes, 1000.0, known)
    assert later == (line, numbers), "the rate is that until the last shard"


@pytest.fixture
def json_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a ``watch`` until it has written two lines, of 2 and 4 of 8 tasks; returns these."""
    asked: list[int] = []

    def tasks(_: Any) -> tuple[frozenset[int], int, int]:
        asked.append(min(2 * len(asked) + 2, 4))
        return frozenset({1}), asked[-1], 8

    def run(progress: Progress, n_read: int, **options: Any) -> list[dict[str, Any]]:
        session = SimpleNamespace(sparkContext=SimpleNamespace(setJobDescription=lambda _: None))
        deadline = time.monotonic() + 20
        with progress.watch(cast(Any, session), "count", "rows", **options):
            progress.n_read = n_read
            while len(asked) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()][:2]

    monkeypatch.setattr(progress_module, "_tasks", tasks)
    monkeypatch.setattr(progress_module, "_LOG_SECONDS", 0.1)
    monkeypatch.setattr(log_lines, "_json_job", ["a_job"])
    return run


def test_a_progress_line_as_json_has_its_numbers_as_fields(json_lines: Callable[..., Any]) -> None:
    progress = Progress()
    progress.shares = {"count": 1.0}
    first, second = json_lines(progress, 500_000, detail=lambda: ("7 rows", {"rows": 7}), n_bytes=1_000_000)
    for line in (first, second):
        assert line.items() >= {"bytes_read": 500_000, "bytes": 1_000_000, "tasks": 8, "rows": 7}.items()
        assert isinstance(line["rebuild_seconds_left"], int)
    assert (first["tasks_done"], second["tasks_done"]) == (2, 4)
    assert first["message"].startswith("rows: 0.5 of 1.0 MB read, 2 of 8 tasks, 7 rows, ")


def test_the_seconds_left_are_a_field_where_they_are_known(json_lines: Callable[..., Any]) -> None:
    first, second = json_lines(Progress(), 0)
    assert "seconds_left" not in first
    assert isinstance(second["seconds_left"], int)
    assert second.keys().isdisjoint({"bytes", "bytes_read", "rebuild_seconds_left"})


def test_the_time_left_of_a_rebuild_is_that_of_stages_that_were_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 160.0, 160.0, 160.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    progress = Progress()
    assert progress.rebuild_seconds_left("count", 0.5) is None, "a job that is one stage"
    progress.shares = {"tokenize": 0.2, "count": 0.6, "report": 0.2}
    assert progress.rebuild_seconds_left("tokenize", 0.1) is None, "too little is done"
    progress.stages.append(StageRun("tokenize", False, None, 1.0))
    assert progress.rebuild_seconds_left("count", 0.5) == pytest.approx(60 * (0.3 + 0.2) / 0.3)
    progress.stages[0] = StageRun("tokenize", True, "new", 20.0)
    assert progress.rebuild_seconds_left("count", 0.5) == pytest.approx(60 * (0.3 + 0.2) / 0.5)


def _session(host: str = "127.0.0.1") -> Any:
    return SimpleNamespace(
        conf=SimpleNamespace(get=lambda key, default=None: host if key == "spark.driver.host" else default),
        sparkContext=SimpleNamespace(environment={}),
    )


def test_bytes_that_tasks_report_reach_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, session = Progress(), _session()
    progress.listen(session)
    for name, value in session.sparkContext.environment.items():
        monkeypatch.setenv(name, value)
    for n_bytes in (7, 1 << 40, 0):
        report_bytes_read(n_bytes)
    deadline = time.monotonic() + 20
    while progress.n_read < (1 << 40) + 7 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert progress.n_read == (1 << 40) + 7


@pytest.mark.parametrize("address", ["127.0.0.1:9", "no-such-host.invalid:9", "127.0.0.1:", "nonsense"])
def test_reports_to_an_address_where_nothing_listens_are_dropped(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(ADDRESS, address)
    report_bytes_read(1)
    report_bytes_read(1)


def test_a_driver_without_an_address_of_its_own_does_not_listen() -> None:
    session = _session("no-such-host.invalid")
    Progress().listen(session)
    assert session.sparkContext.environment == {}


@pytest.mark.spark
def test_core_seconds_are_those_of_tasks_and_not_of_the_time_between_them(spark: "SparkSession") -> None:
    def sleep(numbers: Iterator[int]) -> Iterator[int]:
        time.sleep(1)
        yield from numbers

    before = core_seconds()
    spark.sparkContext.parallelize(range(4), 4).mapPartitions(sleep).collect()
    deadline = time.monotonic() + 30
    while core_seconds() - before < 4 and time.monotonic() < deadline:  # Spark counts tasks soon after their end
        time.sleep(0.1)
    after = core_seconds()
    time.sleep(1)
    assert core_seconds() == after >= before + 4


@pytest.mark.spark
def test_workers_report_what_they_read(spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark.sparkContext, "environment", dict(spark.sparkContext.environment))
    rows = pa.RecordBatch.from_pydict({"number": pa.array(range(1000))})
    pq.write_table(pa.Table.from_batches([rows]), tmp_path / "rows.parquet")
    progress = Progress()
    progress.listen(spark)
    step = partial(read_listed, folder=str(tmp_path), schema=rows.schema)
    with progress.watch(spark, "a_stage", "rows"):
        frame = spark.createDataFrame([("rows.parquet",)], "file string")
        assert frame.mapInArrow(step, "number long").count() == 1000
    with pq.ParquetFile(tmp_path / "rows.parquet") as parquet:
        assert progress.n_read == parquet.metadata.row_group(0).column(0).total_compressed_size
