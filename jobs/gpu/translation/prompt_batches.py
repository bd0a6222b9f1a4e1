"""Groups prompts and continuations into batches; pure functions on token ids."""

from collections.abc import Iterator, Sequence


def shared_prefix_length(prompts: Sequence[Sequence[int]]) -> int:
    """Length in tokens of the prefix that all prompts share; at least one token of each prompt remains after it."""
    shortest = min(len(prompt) for prompt in prompts)
    for place in range(shortest - 1):
        if any(prompt[place] != prompts[0][place] for prompt in prompts):
            return place
    return shortest - 1


def batches_of_one_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Batches of at most ``batch_size`` indices of equal lengths, shortest first; equal lengths keep their order."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    start = 0
    while start < len(order):
        end = start + 1
        while end < min(len(order), start + batch_size) and lengths[order[end]] == lengths[order[start]]:
            end += 1
        yield order[start:end]
        start = end


def batches_of_neighbours(prompts: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Batches of at most ``batch_size`` indices; prompts with common prefixes are neighbours."""
    order = sorted(range(len(prompts)), key=lambda index: (list(prompts[index]), index))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
