"""Memory of the JVM and of its Python workers: sizes in Spark's notation, and warnings where there is too little."""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from jobs.framework.spark.spark_settings import LOCAL_DRIVER_MEMORY, spark_defaults
from pivot_udfs.errors import ConfigError
from pivot_udfs.settings import Settings

_LEAST_HEAP = 450
"""MiB; Spark does not start with less."""
_MEBIBYTES = {"k": 1 / 1024, "": 1, "m": 1, "g": 1024, "t": 1 << 20}


def check_heaps(conf: Mapping[str, str]) -> None:
    """Raises ConfigError for a heap of the driver or of executors that the JVM or Spark refuses."""
    driver, executor = conf.get("spark.driver.memory", LOCAL_DRIVER_MEMORY), conf.get("spark.executor.memory")
    if (mebibytes(driver) or 0) < _LEAST_HEAP or not driver.lower().endswith(("k", "m", "g", "t")):
        raise ConfigError(  # the JVM takes a bare number as bytes, and no "gb"
            f"spark.driver.memory = {driver!r}: a heap of {_LEAST_HEAP}m or more is needed, with the unit m or g, "
            "such as 512m or 3g"
        )
    if (mebibytes(executor) or _LEAST_HEAP) < _LEAST_HEAP:
        raise ConfigError(f"spark.executor.memory = {executor!r}: {_LEAST_HEAP}m or more are needed, such as 4g")


def local_memory_warning(settings: Settings, available: float) -> str | None:
    """A warning where a local session and its Python workers may use more than this many MiB; None for a cluster."""
    conf = spark_defaults() | settings.spark.conf
    master = settings.spark.master or conf.get("spark.master") or "local[*]"
    local = re.fullmatch(r"local(?:\[(\*|\d+).*\])?", master)
    if not local:
        return None
    cores = os.cpu_count() or 1 if local[1] == "*" else int(local[1] or 1)
    driver, budget = conf.get("spark.driver.memory", LOCAL_DRIVER_MEMORY), settings.cooccurrence.memory_budget_mb
    needed = (mebibytes(driver) or 0) + cores * budget
    if needed <= available:
        return None
    return (
        f"spark.driver.memory = {driver} and {cores} Python workers, each with cooccurrence.memory_budget_mb = {budget}"
        f", may use {needed:,.0f} MB, and there are {available:,.0f} MB here: lower one of them, or use fewer cores "
        "(spark.master = 'local[1]')"
    )


def executor_memory_warning(get: Callable[[str], str | None], memory_budget_mb: int) -> str | None:
    """A warning where the workers' budgets exceed the executors' memory for Python; None where that is not known.

    ``get`` returns the value of a Spark key, None where it is not set; an executor runs one worker for each task.
    """
    cores, overhead = get("spark.executor.cores"), mebibytes(get("spark.executor.memoryOverhead"))
    if cores is None or overhead is None:
        return None
    workers = max(1, int(cores) // int(get("spark.task.cpus") or 1))
    if workers * memory_budget_mb <= overhead:
        return None
    return (
        f"{workers} Python workers in an executor, each with cooccurrence.memory_budget_mb = {memory_budget_mb}, may "
        f"use {workers * memory_budget_mb} MB; spark.executor.memoryOverhead is {overhead:.0f} MB, so the cluster may "
        "kill executors: raise the overhead, or lower the budget or spark.executor.cores"
    )


def memory_of_machine() -> float:
    """MiB of the machine, or of the container where that has fewer."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError):
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(sizes) / (1 << 20)


def mebibytes(size: str | None) -> float | None:
    """A size in Spark's notation as MiB, which is also the unit of a bare number; None for anything else."""
    found = re.fullmatch(r"(\d+)([kmgt]?)b?", (size or "").strip().lower())
    return int(found[1]) * _MEBIBYTES[found[2]] if found else None
