"""Assigns files to tasks."""

from collections.abc import Sequence
from heapq import heapreplace


def pack_files(sizes: Sequence[tuple[str, int]], n_tasks: int) -> tuple[tuple[str, ...], ...]:
    """Divides files (path, bytes) into at most ``n_tasks`` groups of about the same size, none empty, paths sorted.

    The largest file is assigned first, each to the task with the fewest bytes. A file is never divided, since the
    records of a shard are numbered in order: a file far larger than the others keeps one core busy alone, so shards
    should have at most a few GB.
    """
    groups: list[list[str]] = [[] for _ in range(min(n_tasks, len(sizes)))]
    loads = [(0, number) for number in range(len(groups))]  # a heap of (bytes, number of the task)
    for path, n_bytes in sorted(sizes, key=lambda shard: (-shard[1], shard[0])):
        load, smallest = loads[0]
        groups[smallest].append(path)
        heapreplace(loads, (load + n_bytes + 1, smallest))
    return tuple(tuple(sorted(group)) for group in groups)
