"""Warnings where the JVM and the Python workers beside it may need more memory than they have."""

import re
from pathlib import Path

import pytest

from jobs.framework.spark.jvm_memory import check_heaps, executor_memory_warning, local_memory_warning
from pivot_udfs.errors import ConfigError
from pivot_udfs.load_settings import load_settings
from pivot_udfs.settings import Settings

ROOT = Path(__file__).parents[3]


def conf(cores: str | None, overhead: str | None, task_cpus: str | None = None) -> dict[str, str]:
    found = {
        "spark.executor.cores": cores,
        "spark.executor.memoryOverhead": overhead,
        "spark.task.cpus": task_cpus,
    }
    return {key: value for key, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("cores", "overhead", "task_cpus"),
    [("4", "4g", None), ("4", "8191", None), ("4", "8191m", None), ("8", "8191MB", "2"), ("1", "2097151k", None)],
)
def test_too_little_memory_for_the_workers_is_warned_of(cores: str, overhead: str, task_cpus: str | None) -> None:
    warning = executor_memory_warning(conf(cores, overhead, task_cpus).get, 2048)
    assert warning is not None
    assert "spark.executor.memoryOverhead" in warning
    assert "memory_budget_mb = 2048" in warning


@pytest.mark.parametrize(
    ("cores", "overhead", "task_cpus"),
    [("4", "8g", None), ("4", "8192", None), ("8", "8g", "2"), (None, "1g", None), ("4", None, None), ("4", "?", None)],
)
def test_enough_or_unknown_memory_is_not_warned_of(
    cores: str | None, overhead: str | None, task_cpus: str | None
) -> None:
    assert executor_memory_warning(conf(cores, overhead, task_cpus).get, 2048) is None


def test_the_cluster_command_and_its_configuration_agree() -> None:
    settings = load_settings(str(ROOT / "conf" / "cluster.toml"), [], Settings)
    command = re.findall(r"--executor-cores (\d+)", (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8"))
    assert command
    for cores in command:
        found = settings.spark.conf | {"spark.executor.cores": cores}
        assert settings.spark.conf["spark.executor.memoryOverhead"]
        assert executor_memory_warning(found.get, settings.cooccurrence.memory_budget_mb) is None


@pytest.mark.parametrize(
    ("master", "available", "line"),
    [
        (
            "local[2]",
            5_119,
            "spark.driver.memory = 3g and 2 Python workers, each with cooccurrence",
        ),
        ("local[2]", 5_120, None),
        ("local", 4_095, "1 Python workers"),
        ("yarn", 1, None),
    ],
)
def test_a_local_run_that_may_use_more_memory_than_there_is_is_warned_of(
    master: str, available: float, line: str | None, tmp_path: Path
) -> None:
    overrides = [f"spark.master={master}", "cooccurrence.memory_budget_mb=1024"]
    settings = load_settings(str(ROOT / "conf" / "demo.toml"), overrides, Settings)
    warning = local_memory_warning(settings, available)
    assert (line is None) == (warning is None)
    assert (line or "") in (warning or "")


@pytest.mark.parametrize(
    ("side", "size"),
    [
        *(("driver", size) for size in ("1k", "449m", "3072", "3gb", "512mb", "0g")),
        ("executor", "449"),
        ("executor", "1k"),
    ],
)
def test_a_heap_with_which_spark_does_not_start_is_refused(side: str, size: str) -> None:
    with pytest.raises(ConfigError, match=rf"spark.{side}.memory = '{size}': .*450m or more .* such as"):
        check_heaps({f"spark.{side}.memory": size})


def test_heaps_with_which_spark_starts_pass() -> None:
    check_heaps({})
    check_heaps({"spark.driver.memory": "450m", "spark.executor.memory": "512"})
    check_heaps({"spark.driver.memory": "3G", "spark.executor.memory": "4gb"})
