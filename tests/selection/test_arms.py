"""The registry of arms: what an entry may be, and that one entry is all that a new arm needs."""

from collections import Counter
from typing import Any

import pytest

from pivot_udfs.arms import ARMS, DEFAULT_ARMS, Arm
from pivot_udfs.settings import Selection

WIKI = Arm(
    "wiki",
    "Encyclopedia control",
    "Documents of one source, as many tokens of each language and source as the pivot arm.",
    documents="source = 's1'",
    stratum=("lang", "source"),
)


@pytest.fixture
def wiki(monkeypatch: pytest.MonkeyPatch) -> Arm:
    """A made-up arm in the registry."""
    monkeypatch.setitem(ARMS, WIKI.name, WIKI)
    return WIKI


@pytest.mark.parametrize("name", ["", "Pivot", "a-b", "1st", "lang", "shrunken_density", "held_out", "a/b", "été"])
def test_a_name_that_is_no_identifier_or_is_reserved_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name an arm"):
        Arm(name, "t", "d")


@pytest.mark.parametrize("changes", [{"stratum": ()}, {"pair": "random"}, {"stratum": ("lang", "source")}])
def test_an_arm_cut_by_the_rule_has_budgets_by_language(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="tokens by language"):
        Arm("dense", "t", "d", budget="rule", **changes)


def test_the_known_arms_are_described() -> None:
    others = ["code_switched", "half_a", "half_b", "pivot_word_matched", "word_matched", "lexicon_swap"]
    assert list(ARMS) == [*DEFAULT_ARMS, *others]
    assert all(arm.title and arm.description.endswith(".") for arm in ARMS.values())


def test_arms_of_a_pair_name_each_other_and_differ_in_their_documents_only() -> None:
    pairs = [(arm, ARMS[arm.pair]) for arm in ARMS.values() if arm.pair]
    assert len(pairs) == 6
    for arm, other in pairs:
        assert other.pair == arm.name
        assert (arm.stratum, arm.share, arm.unit) == (other.stratum, other.share, other.unit)
        assert arm.documents != other.documents


def test_settings_fill_the_predicate() -> None:
    assert ARMS["parallel"].predicate(["mul", "eu"], 0) == "lang IN ('mul', 'eu') AND NOT pivot"
    assert (
        Arm("a", "t", "d", documents="pmod(hash(doc_id), 7) = {seed}").predicate([], 3) == "pmod(hash(doc_id), 7) = 3"
    )


@pytest.mark.parametrize("arms", [["pivots"], ["wiki"], [""]])
def test_settings_refuse_an_unknown_arm_and_list_the_known_ones(arms: list[str]) -> None:
    with pytest.raises(ValueError, match=r"known arms: 'pivot', 'pivot_matched', 'matched', "):
        Selection(arms=arms)


def test_settings_take_a_new_arm(wiki: Arm) -> None:
    assert Selection(arms=["pivot", wiki.name]).arms == ["pivot", "wiki"]


def test_budgets_of_a_new_arm_are_reported(wiki: Arm) -> None:
    from jobs.selection.budgets import Budget, reported_budgets

    budgets = reported_budgets(
        Selection(rule="threshold", arms=[wiki.name]), {"fr": 100}, {"pivot": {"fr": (2, 40), "en": (1, 5)}}
    )
    assert budgets == [Budget("wiki", "en", "tokens", 5), Budget("wiki", "fr", "tokens", 40)]


@pytest.mark.spark
def test_a_new_arm_is_selected(spark: Any, wiki: Arm) -> None:
    """Of its source only, and at most what the pivot arm holds of each language and source."""
    from pyspark.sql.pandas.types import from_arrow_schema

    from jobs.selection.select_documents import decide_cuts, select_documents
    from pivot_udfs.schemas import DOCUMENT_SCORES

    rows = [
        (f"s{k % 3}", f"d{k}", ("en", "fr")[k % 2], 10, k % 7, 1, (k % 7) / 10, 0.0, 0.0, 0.0, f"f{k % 5}", k)
        for k in range(210)
    ]
    scores = spark.createDataFrame(rows, from_arrow_schema(DOCUMENT_SCORES))
    selection = Selection(share=0.4, arms=["pivot", wiki.name])
    chosen = select_documents(scores, decide_cuts(scores, selection), selection)
    place = {(row[-2], row[-1]): row for row in rows}
    held: dict[str, Counter[tuple[str, str]]] = {"pivot": Counter(), "wiki": Counter()}
    for row in chosen.collect():
        source, _, lang, n_tokens, *_ = place[row["shard"], row["record"]]
        for arm, counts in held.items():
            counts[lang, source] += n_tokens if row[arm] else 0
    assert {source for (_, source), n in held["wiki"].items() if n} == {"s1"}
    for lang in ("en", "fr"):
        assert held["wiki"][lang, "s1"] == held["pivot"][lang, "s1"] > 0


def test_the_model_side_takes_a_new_arm(wiki: Arm) -> None:
    from jobs.gpu.common.settings import Experiment, Packing

    assert Packing(arm=wiki.name).arm == "wiki"
    assert Experiment(contrasts=["pivot-wiki", "random-wiki"]).arms == ["pivot", "wiki", "random"]
    with pytest.raises(ValueError, match=r"known arms: 'pivot', 'pivot_matched', .*, 'wiki'"):
        Experiment(contrasts=["wikipedia-pivot"])
    with pytest.raises(ValueError, match="two different arms"):
        Experiment(contrasts=["pivot-pivot"])


@pytest.mark.spark
def test_a_new_arm_is_in_the_report(spark: Any, wiki: Arm) -> None:
    from jobs.report.arm_budgets_and_mixes import read_arms, read_mixes, sums_by_group, sums_by_language

    rows = [(f"s{k % 2}", "en", 10, 5, True, bool(k % 2)) for k in range(6)]
    columns = "source string, lang string, n_tokens long, n_pivot_tokens long, pivot boolean, wiki boolean"
    selection = Selection(share=0.5, arms=["pivot", wiki.name])
    by_group = sums_by_group(
        spark.createDataFrame([*rows, ("s2", "en", 140, 0, False, False)], columns), selection.arms
    )
    languages = sums_by_language(by_group, selection.arms)
    pivot, new = read_arms(selection, languages, {})
    assert new.name == wiki.name
    assert (pivot.n_docs, new.n_docs, new.n_tokens, new.n_in_pivot, new.density) == (6, 3, 30, 3, 0.5)
    assert [(b.lang, b.amount, taken) for b, taken in (*pivot.budgets, *new.budgets)] == [
        ("en", 100, 60),
        ("en", 60, 30),
    ]
    sources = next(mix for mix in read_mixes(by_group, languages, selection.arms) if mix.kind == "source")
    tokens = [(row["key"], row["corpus"], row["pivot"], row["wiki"]) for row in sources.rows]
    assert tokens == [("s2", 140, 0, 0), ("s0", 30, 30, 0), ("s1", 30, 30, 30)]
    assert sources.distances == {"wiki": 0.5}
