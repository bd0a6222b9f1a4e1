"""Which task reads which files."""

from collections.abc import Sequence
from heapq import heapreplace


def pack_files(sizes: Sequence[tuple[str, int]], n_tasks: int) -> tuple[tuple[str, ...], ...]:
    """Divides files (shards, a table's) into tasks of about the same size: largest first, each to the emptiest.

    A file is never divided (the lines of a shard are numbered by reading all before them): one far larger than the rest
    keeps one core busy while the others wait. Corpora are best cut into shards of at most a few GB.

    Args:
        sizes: path and bytes of each file.
        n_tasks: how many tasks, at most.

    Returns:
        The paths of each task, none without a file.
    """
    groups: list[list[str]] = [[] for _ in range(min(n_tasks, len(sizes)))]
    loads = [(0, number) for number in range(len(groups))]  # a heap: the emptiest first, of equals the lowest number
    for path, n_bytes in sorted(sizes, key=lambda shard: (-shard[1], shard[0])):
        load, emptiest = loads[0]
        groups[emptiest].append(path)
        heapreplace(loads, (load + n_bytes + 1, emptiest))
    return tuple(tuple(sorted(group)) for group in groups)
