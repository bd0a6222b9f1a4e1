"""How the steps of ``on_a_gpu`` measure time: until the device has done the work."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def seconds_of(work: Callable[[], Any]) -> float:
    """Seconds that ``work`` takes, until the device has done it."""
    synchronize()
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    """Waits for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def alternating(first: Callable[[], Any], second: Callable[[], Any], repeats: int = 3) -> tuple[float, float, float]:
    """Median seconds of both, alternating after a warm-up, and the median of their ratios (first to second)."""
    first(), second()
    pairs = [(seconds_of(first), seconds_of(second)) for _ in range(repeats)]
    ratio = statistics.median(a / b for a, b in pairs)
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio
