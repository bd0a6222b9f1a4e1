"""The prefix tree against the set of distinct beginnings, which is what it stands for."""

import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from hypothesis import given
from hypothesis import strategies as st

from jobs.gpu.translation.prompt_runner import batches_of_neighbours
from jobs.gpu.translation.token_tree import ROOT, TokenTree

pytestmark = pytest.mark.torch
SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=12)


def _way_to(tree: TokenTree, node: int) -> list[int]:
    """Nodes from the first token of a sequence to a node, by the parents alone."""
    way: list[int] = []
    while node != ROOT:
        way.insert(0, node)
        node = tree.parents[node]
    return way


@given(SEQUENCES)
def test_each_distinct_prefix_has_one_node(sequences: list[list[int]]) -> None:
    tree = TokenTree()
    paths = [tree.add(sequence) for sequence in sequences]
    assert len(tree) == len({tuple(s[: n + 1]) for s in sequences for n in range(len(s))})
    for sequence, path in zip(sequences, paths, strict=True):
        assert [tree.tokens[node] for node in path] == sequence
        assert _way_to(tree, path[-1]) == path
        assert [tree.depths[node] for node in path] == list(range(len(sequence)))


@given(SEQUENCES)
def test_a_token_attends_to_itself_and_its_ancestors(sequences: list[list[int]]) -> None:
    tree = TokenTree()
    for sequence in sequences:
        tree.add(sequence)
    for node, row in enumerate(tree.attention_mask().tolist()):
        assert [other for other, seen in enumerate(row) if seen] == _way_to(tree, node)


@given(SEQUENCES, SEQUENCES)
def test_adding_below_a_node_equals_adding_the_whole_sequence(heads: list[list[int]], tails: list[list[int]]) -> None:
    one, other = TokenTree(), TokenTree()
    for head in heads:
        last = one.add(head)[-1]
        other.add(head)
        for tail in tails:
            assert one.add(tail, after=last) == other.add([*head, *tail])[len(head) :]
    assert one.tokens == other.tokens
    assert one.parents == other.parents


@given(SEQUENCES, st.integers(1, 5))
def test_batches_of_neighbours_hold_every_prompt_once(prompts: list[list[int]], size: int) -> None:
    batches = list(batches_of_neighbours(prompts, size))
    assert sorted(index for batch in batches for index in batch) == list(range(len(prompts)))
    assert all(len(batch) == size for batch in batches[:-1])
    ordered = [prompts[index] for batch in batches for index in batch]
    assert ordered == sorted(prompts)
