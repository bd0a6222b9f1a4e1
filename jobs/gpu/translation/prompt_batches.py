"""Which prompts and continuations are computed together: pure bookkeeping on token ids."""

from collections import defaultdict
from collections.abc import Iterator, Sequence


def shared_prefix_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; at least one token of each prompt is left after them."""
    shortest = min(len(prompt) for prompt in prompts)
    for place in range(shortest - 1):
        if any(prompt[place] != prompts[0][place] for prompt in prompts):
            return place
    return shortest - 1


def batches_of_one_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of at most ``batch_size`` of one length, shortest first, in order within it."""
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    start = 0
    while start < len(order):
        end = start + 1
        while end < min(len(order), start + batch_size) and lengths[order[end]] == lengths[order[start]]:
            end += 1
        yield order[start:end]
        start = end


def batches_of_neighbours(prompts: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of at most ``batch_size``, prompts that begin alike beside each other."""
    order = sorted(range(len(prompts)), key=lambda index: (list(prompts[index]), index))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def whole_sequences(
    pairs: Sequence[tuple[int, Sequence[int]]],
) -> tuple[list[tuple[int, tuple[int, ...]]], list[int]]:
    """The fewest (prompt, tokens after it) whose passes answer all pairs, and which of them answers each pair."""
    sequences: list[tuple[int, tuple[int, ...]]] = []
    host: dict[tuple[int, tuple[int, ...]], int] = {}
    wanted = {(prompt, tuple(ids[:-1])) for prompt, ids in pairs}
    of_prompt: dict[int, list[int]] = defaultdict(list)
    for prompt, rest in sorted(wanted, key=lambda sequence: (-len(sequence[1]), sequence)):
        fit = [k for k in of_prompt[prompt] if sequences[k][1][: len(rest)] == rest]
        if not fit:
            of_prompt[prompt].append(len(sequences))
            sequences.append((prompt, rest))
        host[prompt, rest] = fit[0] if fit else len(sequences) - 1
    return sequences, [host[prompt, tuple(ids[:-1])] for prompt, ids in pairs]
