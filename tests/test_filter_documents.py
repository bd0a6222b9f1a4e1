"""The shrunken density favours nobody for being short, and budgets are never more than what was asked."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pivot_udfs.filter_documents import language_budgets, shrunken_density
from pivot_udfs.settings import Selection

LENGTH = st.integers(1, 10**6)
DENSITY = st.floats(0, 1)


@given(n_tokens=LENGTH, share=DENSITY, mean=DENSITY, k=st.integers(0, 10_000))
def test_it_lies_between_the_document_and_its_language(n_tokens: int, share: float, mean: float, k: int) -> None:
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


TOKENS = st.dictionaries(st.sampled_from(["en", "fr", "zh", "ja", "mul"]), st.integers(1, 10**9), min_size=1)


@given(tokens=TOKENS, share=st.floats(1e-6, 1))
def test_top_share_is_of_each_language(tokens: dict[str, int], share: float) -> None:
    budgets = language_budgets(Selection(rule="top_share", share=share), tokens)
    assert budgets == {lang: math.floor(share * n) for lang, n in tokens.items()}


@given(tokens=TOKENS, total=st.integers(1, 10**9))
def test_a_token_budget_is_shared_as_the_corpus_is(tokens: dict[str, int], total: int) -> None:
    budgets = language_budgets(Selection(rule="token_budget", tokens=total), tokens)
    assert sum(budgets.values()) <= total
    for lang, n_tokens in tokens.items():
        assert budgets[lang] == pytest.approx(total * n_tokens / sum(tokens.values()), abs=1)


def test_quotas() -> None:
    selection = Selection(rule="token_budget", tokens=1000, language_quotas={"fr": 0.25, "zh": 0.5, "de": 0.1})
    assert language_budgets(selection, {"fr": 10, "zh": 10**6, "en": 10**6}) == {"fr": 250, "zh": 500, "en": 0}
