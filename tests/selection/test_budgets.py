"""Budgets follow from the rule and the registry of arms."""

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from jobs.selection.budgeted_sample import Cut
from jobs.selection.budgets import (
    Budget,
    InStratum,
    control_budgets,
    describe_arms,
    language_budgets,
    missed_budgets,
    reported_budgets,
    unmatched,
)
from pivot_udfs.arms import ARMS
from pivot_udfs.settings import Selection

TOKENS = st.dictionaries(st.sampled_from(["en", "fr", "zh", "ja", "mul"]), st.integers(1, 10**9), min_size=1)


@given(tokens=TOKENS, hundredths=st.integers(1, 100))
def test_top_share_is_of_each_language(tokens: dict[str, int], hundredths: int) -> None:
    budgets = language_budgets(Selection(rule="top_share", share=hundredths / 100), tokens)
    assert budgets == {lang: hundredths * n // 100 for lang, n in tokens.items()}


@given(tokens=TOKENS, total=st.integers(1, 10**9))
def test_a_token_budget_is_shared_as_the_corpus_is(tokens: dict[str, int], total: int) -> None:
    budgets = language_budgets(Selection(rule="token_budget", tokens=total), tokens)
    assert budgets == {lang: math.floor(Fraction(total * n, sum(tokens.values()))) for lang, n in tokens.items()}


@given(tokens=TOKENS)
def test_a_budget_of_all_tokens_takes_all(tokens: dict[str, int]) -> None:
    assert language_budgets(Selection(rule="token_budget", tokens=sum(tokens.values())), tokens) == tokens


def test_language_quotas_divide_the_token_budget() -> None:
    selection = Selection(rule="token_budget", tokens=1000, language_quotas={"fr": 0.25, "zh": 0.5, "de": 0.1})
    assert language_budgets(selection, {"fr": 10, "zh": 10**6, "en": 10**6}) == {
        "fr": 250,
        "zh": 500,
        "en": 0,
        "de": 100,
    }


def test_each_arm_has_the_budgets_of_its_registry_entry() -> None:
    selection = Selection(rule="token_budget", tokens=100, language_quotas={"fr": 0.5, "de": 0.2}, arms=list(ARMS))
    held = {"pivot": {"fr": (3, 48)}, "pivot_matched": {"fr": (2, 30)}, "matched": {"fr": (1, 9)}}
    budgets = reported_budgets(selection, {"fr": 1000}, held)
    assert budgets == [
        Budget("pivot", "de", "tokens", 20),
        Budget("pivot", "fr", "tokens", 50),
        Budget("pivot_matched", "fr", "documents", 1),
        Budget("matched", "fr", "documents", 2),
        Budget("random", "fr", "tokens", 48),
        Budget("parallel", "all", "tokens", 48),
        Budget("code_switched", "fr", "tokens", 48),
        Budget("lexicon_swap", "fr", "documents", 1),
    ]
    threshold = Selection(rule="threshold", arms=["parallel", "pivot"])
    assert reported_budgets(threshold, {"fr": 1000}, held) == budgets[-3:-2]


STRATUM = st.integers(0, 200).flatmap(
    lambda n: st.builds(InStratum, st.just(n), st.integers(0, n), st.integers(0, 1000))
)
STRATA = st.dictionaries(st.sampled_from("abcdefg"), STRATUM)


@given(here=STRATA, there=STRATA, hundredths=st.integers(1, 50))
def test_both_arms_of_a_pair_take_the_smaller_number_within_the_share(
    here: dict[str, InStratum], there: dict[str, InStratum], hundredths: int
) -> None:
    there = {of: found._replace(n_docs=here[of].n_docs) if of in here else found for of, found in there.items()}
    strata = {"half_a": here, "half_b": there, "matched": here, "pivot_matched": there, "random": here}
    budgets = control_budgets(strata, Selection(half_share=hundredths / 100))
    for of in {*here, *there}:
        fewer = min(found[of].n_candidates if of in found else 0 for found in (here, there))
        wanted = min(fewer, hundredths * (here.get(of) or there[of]).n_docs // 100)
        assert {budgets[arm].get(of, 0) for arm in ("half_a", "half_b")} == {wanted}
        assert {budgets[arm].get(of, 0) for arm in ("matched", "pivot_matched")} == {fewer}
    assert budgets["random"] == {of: found.pivot_tokens for of, found in here.items() if found.pivot_tokens}


def test_strata_without_a_match_are_counted_with_their_documents() -> None:
    cuts = [Cut("half_a", "x", 0, n_candidates=4), Cut("half_a", "y", 0, n_candidates=3), Cut("pivot", "en", 0)]
    cuts += [Cut("half_a", "z", 2, n_candidates=7), Cut("half_b", "z", 2, n_candidates=2)]
    assert unmatched(cuts) == {"half_a": (2, 7), "half_b": (0, 0)}


def test_budgets_are_missed_from_both_sides() -> None:
    budgets = [Budget("pivot", "de", "tokens", 20), Budget("pivot", "fr", "tokens", 60)]
    budgets += [Budget("matched", "fr", "documents", 4), Budget("parallel", "all", "tokens", 0)]
    held = {"pivot": {"de": (1, 30), "fr": (1, 50)}, "matched": {"fr": (3, 9)}, "random": {}, "parallel": {}}
    assert missed_budgets(held, budgets) == {"pivot": 0.25, "matched": 0.25, "parallel": 0.0}


def test_unfilled_budgets_are_logged_and_large_gaps_are_warnings() -> None:
    budgets = [
        Budget("pivot", "de", "tokens", 2000),
        Budget("pivot", "fr", "tokens", 5000),
        Budget("matched", "fr", "documents", 3),
        Budget("parallel", "all", "tokens", 4990),
    ]
    held = {"pivot": {"fr": (3, 4990)}, "matched": {"fr": (3, 5100)}, "parallel": {"mul": (1, 40), "fr": (1, 60)}}
    assert describe_arms(held, budgets, {"matched": (2, 1_700)}) == [
        "pivot: 3 documents, 4,990 tokens",
        "warning: pivot, de: 0 of 2,000 tokens, 2,000 short",
        "pivot, fr: 4,990 of 5,000 tokens, 10 short",
        "matched: 3 documents, 5,100 tokens",
        "matched: 2 strata with 1,700 documents have no match, and are left out",
        "matched, fr: 3 of 3 documents",
        "parallel: 2 documents, 100 tokens",
        "warning: parallel, all: 100 of 4,990 tokens, 4,890 short",
    ]
