"""Each arm takes the documents that a plain sort gives, on any partitioning."""

import math
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pivot_udfs.arms import ARMS, PIVOT
from pivot_udfs.schemas import DOCUMENT_SCORES
from pivot_udfs.settings import Selection

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]
Row = dict[str, Any]
Ties = dict[str, dict[int, int]]
"""By arm and record."""


def make_scores() -> list[Row]:
    """300 documents of three languages and mul, with ties."""
    draw, rows = random.Random(9), []  # noqa: S311 - a test's fixed draw
    for k in range(300):
        n_tokens = draw.choice([1, 2, 5, 20, 100, 101, 400, 2_000])
        n_pivots = draw.choice([0, 0, n_tokens // 10, n_tokens // 5, n_tokens // 2, n_tokens])
        place = {"source": f"s{k % 3}", "doc_id": f"d{k}", "shard": f"f{k % 7}", "record": k}
        counts = {"n_tokens": n_tokens, "n_pivot_tokens": n_pivots, "n_distinct_pivots": min(n_pivots, 3)}
        balance = draw.choice([-0.2, -0.1, 0.0, 0.1, 0.3, draw.uniform(-1, 1)]) * (n_pivots > 0)
        scored = {"lang": draw.choice(["en", "fr", "ja", "mul"]), "half_balance": balance}
        scored |= {name: draw.choice([0.0, 0.0, 0.1, 0.5, draw.random()]) for name in ("word_share", "foreign_share")}
        rows.append(place | counts | scored | {"pivot_density": n_pivots / n_tokens})
    return rows


ROWS = make_scores()
TOTALS = Counter(
    {lang: sum(row["n_tokens"] for row in ROWS if row["lang"] == lang) for lang in ("en", "fr", "ja", "mul")}
)


@pytest.fixture(scope="module")
def scores(spark: "SparkSession") -> "DataFrame":
    from pyspark.sql.pandas.types import from_arrow_schema

    tuples = [tuple(row[name] for name in DOCUMENT_SCORES.names) for row in ROWS]
    return spark.createDataFrame(tuples, from_arrow_schema(DOCUMENT_SCORES)).persist()


@pytest.fixture(scope="module")
def ties(scores: "DataFrame") -> Ties:
    """The hash of arm, seed (0), source and id of each document."""
    from pyspark.sql import functions as F

    key = F.lit(0), F.col("source"), F.col("doc_id")
    rows = scores.select("record", *(F.xxhash64(F.lit(arm), *key).alias(arm) for arm in ARMS)).collect()
    return {arm: {row["record"]: row[arm] for row in rows} for arm in ARMS}


def arms(scores: "DataFrame", selection: Selection) -> dict[str, list[Row]]:
    from jobs.selection.select_documents import decide_cuts, select_documents

    by_place = {(row["shard"], row["record"]): row for row in ROWS}
    found: dict[str, list[Row]] = {arm: [] for arm in selection.arms}
    for row in select_documents(scores, decide_cuts(scores, selection), selection).collect():
        taken = [arm for arm in selection.arms if row[arm]]
        assert taken, "a document that no arm takes"
        for arm in taken:
            found[arm].append(by_place[row["shard"], row["record"]])
    return {arm: sorted(rows, key=lambda row: row["record"]) for arm, rows in found.items()}


def tokens(rows: list[Row]) -> Counter[str]:
    held: Counter[str] = Counter()
    for row in rows:
        held[row["lang"]] += row["n_tokens"]
    return held


def ranked(rows: list[Row], k: int, ties: dict[int, int]) -> list[tuple[float, Row]]:
    """Shrunken density of each document, best first, ties by hash."""
    pivots = {lang: sum(row["n_pivot_tokens"] for row in rows if row["lang"] == lang) for lang in TOTALS}
    scored = [
        ((row["n_pivot_tokens"] + k * pivots[row["lang"]] / TOTALS[row["lang"]]) / (row["n_tokens"] + k), row)
        for row in rows
    ]
    return sorted(scored, key=lambda pair: (-round(pair[0], 12), ties[pair[1]["record"]]))


def first_within(rows: list[Row], budget: int) -> list[Row]:
    """Rows in order as long as their tokens fit."""
    taken, held = [], 0
    for row in rows:
        held += row["n_tokens"]
        if held > budget:
            break
        taken.append(row)
    return taken


def brute_pivot_arm(budgets: dict[str, int], k: int, ties: Ties) -> list[Row]:
    order = [row for _, row in ranked(ROWS, k, ties[PIVOT])]
    taken = [
        row for lang, budget in budgets.items() for row in first_within([r for r in order if r["lang"] == lang], budget)
    ]
    return sorted(taken, key=lambda row: row["record"])


def test_top_share_takes_the_densest_of_each_language(scores: "DataFrame", ties: Ties) -> None:
    selection = Selection(share=0.3, shrinkage_tokens=50, arms=["pivot"])
    budgets = {lang: math.floor(0.3 * n) for lang, n in TOTALS.items()}
    assert arms(scores, selection)["pivot"] == brute_pivot_arm(budgets, 50, ties)


def test_a_token_budget_is_divided_by_the_quotas(scores: "DataFrame", ties: Ties) -> None:
    quotas = {"en": 0.5, "fr": 0.2, "de": 0.3}
    selection = Selection(
        rule="token_budget", tokens=9_000, language_quotas=quotas, shrinkage_tokens=500, arms=["pivot"]
    )
    assert arms(scores, selection)["pivot"] == brute_pivot_arm({"en": 4_500, "fr": 1_800}, 500, ties)


def test_a_threshold_takes_all_documents_above_it(scores: "DataFrame", ties: Ties) -> None:
    selection = Selection(rule="threshold", threshold=0.25, shrinkage_tokens=50, arms=["pivot"])
    wanted = [row["record"] for density, row in ranked(ROWS, 50, ties[PIVOT]) if density >= 0.25]
    assert [row["record"] for row in arms(scores, selection)["pivot"]] == sorted(wanted)


def test_controls_match_the_pivot_arm(scores: "DataFrame", ties: Ties) -> None:
    """The controls have the pivot arm's language mix or budget, never more tokens, and none of its documents."""
    selection = Selection(share=0.4, shrinkage_tokens=50, arms=list(ARMS))
    found = arms(scores, selection)
    pivot = tokens(found["pivot"])
    longest = max(row["n_tokens"] for row in ROWS)
    for lang, budget in pivot.items():
        assert budget - longest < tokens(found["random"])[lang] <= budget
    held = places(found["pivot"])
    for arm in ("random", "matched", "word_matched", "parallel", "code_switched"):
        assert not held & places(found[arm])
    assert places(found["pivot_matched"]) < held
    others = [row for row in ROWS if row["record"] not in held]
    assert shape(found["matched"]) == shape(found["pivot_matched"]) == shape(found["pivot"]) & shape(others)
    assert 0 < len(found["matched"]) < len(found["pivot"])
    wordy = {arm: words_and_shape(found[arm]) for arm in ("word_matched", "pivot_word_matched")}
    assert places(found["pivot_word_matched"]) < held
    assert wordy["word_matched"] == wordy["pivot_word_matched"]
    assert wordy["word_matched"] == words_and_shape(found["pivot"]) & words_and_shape(others) != Counter()
    mixed = [row for row in ROWS if row["record"] not in held and row["foreign_share"] and row["lang"] != "mul"]
    mixed.sort(key=lambda row: (-row["foreign_share"], ties["code_switched"][row["record"]]))
    by_language = [first_within([row for row in mixed if row["lang"] == lang], pivot[lang]) for lang in pivot]
    assert places(found["code_switched"]) == {row["record"] for rows in by_language for row in rows} != set()
    assert found["lexicon_swap"] == found["matched"]
    assert set(tokens(found["parallel"])) == {"mul"}
    assert tokens(found["parallel"]).total() <= pivot.total()
    drawn = [{row["record"] for row in found[arm]} for arm in ARMS]
    assert len(set(map(frozenset, drawn))) == len(ARMS) - 1


def shape(rows: list[Row]) -> Counter[tuple[str, str, int]]:
    """Documents by language, source and quarter of an octave of length."""
    return Counter((row["lang"], row["source"], math.floor(math.log2(row["n_tokens"] + 1) * 4)) for row in rows)


def words_and_shape(rows: list[Row]) -> Counter[tuple[Any, ...]]:
    """The same by percentage of lexicon words, too."""
    return Counter((*key, math.floor(100 * row["word_share"])) for row in rows for key in shape([row]))


def places(rows: list[Row]) -> set[int]:
    return {row["record"] for row in rows}


@pytest.mark.parametrize(
    ("share", "order"), [*((share, ["half_a", "half_b"]) for share in (0.1, 0.2, 0.5)), (0.2, ["half_b"])]
)
def test_halves_are_the_ends_of_each_stratum(scores: "DataFrame", ties: Ties, share: float, order: list[str]) -> None:
    """Equally many documents of each language, source and length, also where only one of the two is written."""
    found = arms(scores, Selection(arms=order, half_share=share))
    wanted: dict[str, set[int]] = {"half_a": set(), "half_b": set()}
    for stratum, n_docs in shape(ROWS).items():
        inside = [row for row in ROWS if shape([row]) == {stratum: 1}]
        ends = {
            half: sorted((sign * row["half_balance"], ties[half][row["record"]], row["record"]) for row in inside)
            for half, sign in (("half_a", -1), ("half_b", 1))
        }
        candidates = {half: [key for balance, *key in end if balance < 0] for half, end in ends.items()}
        n_taken = min(*map(len, candidates.values()), math.floor(share * n_docs))
        for half, keys in candidates.items():
            wanted[half] |= {record for *_, record in keys[:n_taken]}
    assert {arm: places(rows) for arm, rows in found.items()} == {arm: wanted[arm] for arm in order}
    assert all(wanted.values())
    assert not wanted["half_a"] & wanted["half_b"]


def test_strata_without_a_match_take_no_document_that_comes_later(scores: "DataFrame") -> None:
    """Their cuts have the candidates that are left out, and a budget of 0."""
    from jobs.selection.select_documents import decide_cuts, select_documents

    selection = Selection(share=0.4, shrinkage_tokens=50, arms=["matched"])
    cuts = decide_cuts(scores, selection)
    pivot = places(arms(scores, Selection(share=0.4, shrinkage_tokens=50, arms=["pivot"]))["pivot"])
    sides = {"pivot_matched": shape([row for row in ROWS if row["record"] in pivot])}
    sides["matched"] = shape([row for row in ROWS if row["record"] not in pivot])
    for arm, side in sides.items():
        wanted = {"/".join(map(str, of)): n for of, n in side.items() if not all(s[of] for s in sides.values())}
        assert wanted
        assert {cut.stratum: cut.n_candidates for cut in cuts.cuts if cut.arm == arm and not cut.budget} == wanted
    later = select_documents(scores, cuts, selection.model_copy(update={"seed": 5})).collect()
    unmatched = {of for of, n in sides["matched"].items() if not sides["pivot_matched"][of]}
    by_record = {row["record"]: row for row in ROWS}
    assert later
    assert not unmatched & {*shape([by_record[row["record"]] for row in later])}


def test_partitions_do_not_change_the_arms_and_the_seed_changes_draws_and_ties(scores: "DataFrame", ties: Ties) -> None:
    selection = Selection(share=0.4, shrinkage_tokens=50)
    once = arms(scores, selection)
    assert arms(scores.repartition(7, "doc_id"), selection) == once
    other = arms(scores, selection.model_copy(update={"seed": 1}))
    changed = places(once["pivot"]) ^ places(other["pivot"])
    assert changed, "no document ties with a cut"
    densities = {(row["lang"], density) for density, row in ranked(ROWS, 50, ties[PIVOT]) if row["record"] in changed}
    assert len(densities) == len({lang for lang, _ in densities}), "documents change that tie with no cut"
    assert other["random"] != once["random"]
    assert other["matched"] != once["matched"]


def test_the_cuts_of_a_threshold_have_no_budget_and_no_document(scores: "DataFrame") -> None:
    from jobs.selection.select_documents import decide_cuts

    selection = Selection(rule="threshold", threshold=0.25, arms=["pivot", "random"])
    cuts = decide_cuts(scores, selection).cuts
    assert sorted(cut for cut in cuts if cut.arm == "pivot") == [
        ("pivot", k, None, 0.75, None, None) for k in sorted(TOTALS)
    ]
    assert {cut.arm for cut in cuts} == {"pivot", "random"}


def test_documents_without_tokens_and_empty_tables_are_selected_from(
    spark: "SparkSession", scores: "DataFrame"
) -> None:
    """Nothing divides by zero, with shrinkage or without."""
    from pyspark.sql import functions as F

    empty = (
        scores.where("record < 4")
        .withColumn("n_tokens", F.lit(0).cast("long"))
        .withColumn("n_pivot_tokens", F.lit(0).cast("long"))
    )
    for k in (0, 500):
        assert len(arms(empty, Selection(rule="threshold", threshold=0.5, shrinkage_tokens=k))["pivot"]) == 0
    assert arms(scores.where("false"), Selection(arms=list(ARMS))) == {arm: [] for arm in ARMS}
