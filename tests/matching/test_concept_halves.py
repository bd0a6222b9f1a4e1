"""Concepts fall into halves one by one, at random, and the same way everywhere."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.matching.concept_halves import concept_halves

CONCEPTS = st.lists(st.integers(0, 2**40), max_size=50)


@given(CONCEPTS, st.integers(-(2**60), 2**60))
def test_a_half_is_the_first_bit_of_the_hash_of_seed_and_concept(concepts: list[int], seed: int) -> None:
    bits = [f"{int(hashlib.sha256(f'{seed}:{concept}'.encode()).hexdigest(), 16):0256b}"[0] for concept in concepts]
    halves = concept_halves(concepts, seed)
    assert halves.dtype == bool
    assert halves.tolist() == [bit == "1" for bit in bits]


def test_known_assignments_stay() -> None:
    assert np.flatnonzero(concept_halves(np.arange(20), 0)).tolist() == [0, 1, 2, 5, 6, 8, 11, 12, 13, 16]


def test_halves_are_as_large_and_as_independent_of_seed_and_number_as_coin_flips() -> None:
    splits = np.array([concept_halves(np.arange(4000), seed) for seed in range(5)])
    assert (abs(splits.mean(axis=1) - 0.5) < 0.04).all()
    together = np.corrcoef(splits.astype(float))
    assert (abs(together[~np.eye(5, dtype=bool)]) < 0.08).all()
