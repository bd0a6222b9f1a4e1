"""Ranking by the shrunken density gives short documents no advantage."""

from hypothesis import assume, given
from hypothesis import strategies as st

from jobs.selection.shrunken_density import shrunken_density

LENGTH = st.integers(1, 10**6)
DENSITY = st.floats(0, 1)


@given(n_tokens=LENGTH, share=DENSITY, mean=DENSITY, k=st.integers(0, 10_000))
def test_shrunken_density_is_between_the_document_and_its_language(
    n_tokens: int, share: float, mean: float, k: int
) -> None:
    density = shrunken_density(share * n_tokens, n_tokens, mean, k)
    assert min(share, mean) - 1e-9 <= density <= max(share, mean) + 1e-9


@given(short=LENGTH, long=LENGTH, share=DENSITY, mean=DENSITY, k=st.integers(1, 10_000))
def test_of_two_equally_dense_documents_the_longer_is_further_from_the_mean(
    short: int, long: int, share: float, mean: float, k: int
) -> None:
    assume(short < long and abs(share - mean) > 1e-3)
    near, far = (shrunken_density(share * n, n, mean, k) for n in (short, long))
    assert (far > near) == (share > mean)


@given(n_tokens=LENGTH, pivots=st.integers(0, 10**6), more=st.integers(1, 100), mean=DENSITY)
def test_more_pivots_rank_higher(n_tokens: int, pivots: int, more: int, mean: float) -> None:
    assert shrunken_density(pivots + more, n_tokens, mean, 500) > shrunken_density(pivots, n_tokens, mean, 500)


def test_without_shrinkage_it_is_the_raw_density() -> None:
    assert shrunken_density(3, 12, 0.9, 0) == 0.25


def test_one_pivot_in_five_tokens_does_not_beat_a_dense_long_document() -> None:
    assert shrunken_density(1, 5, 0.02, 500) < shrunken_density(100, 2_000, 0.02, 500)
