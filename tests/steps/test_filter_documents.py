"""Ranking favours nobody for being short, budgets are what was asked, and workers copy the chosen documents."""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pivot_udfs import filter_documents
from pivot_udfs.errors import WarehouseError
from pivot_udfs.filter_documents import Budget, arm_budgets, copy_chosen, language_budgets, shrunken_density
from pivot_udfs.schemas import DATASET, DOCUMENTS
from pivot_udfs.settings import Arm, Selection

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
    assert language_budgets(selection, {"fr": 10, "zh": 10**6, "en": 10**6}) == {
        "fr": 250,
        "zh": 500,
        "en": 0,
        "de": 100,
    }


def test_budgets_of_the_arms() -> None:
    arms: list[Arm] = ["pivot", "random", "matched", "parallel"]
    selection = Selection(rule="token_budget", tokens=100, language_quotas={"fr": 0.5, "de": 0.2}, arms=arms)
    budgets = arm_budgets(selection, {"fr": 1000}, {"fr": (3, 48)})
    assert budgets == [
        Budget("pivot", "de", "tokens", 20),
        Budget("pivot", "fr", "tokens", 50),
        Budget("random", "fr", "tokens", 48),
        Budget("matched", "fr", "documents", 3),
        Budget("parallel", "all", "tokens", 48),
    ]
    threshold = Selection(rule="threshold", arms=["parallel", "pivot"])
    assert arm_budgets(threshold, {"fr": 1000}, {"fr": (3, 48)}) == budgets[-1:]


def test_what_arms_lack_is_told() -> None:
    from jobs.filter_documents import tell_held

    budgets = [
        Budget("pivot", "de", "tokens", 2000),
        Budget("pivot", "fr", "tokens", 5000),
        Budget("matched", "fr", "documents", 3),
        Budget("parallel", "all", "tokens", 4990),
    ]
    held = {"pivot": {"fr": (3, 4990)}, "matched": {"fr": (3, 5100)}, "parallel": {"mul": (1, 40), "fr": (1, 60)}}
    assert tell_held(held, budgets, ["pivot", "matched", "parallel"]) == [
        "pivot: 3 documents, 4,990 tokens",
        "warning: pivot, de: 0 of 2,000 tokens, 2,000 short",
        "pivot, fr: 4,990 of 5,000 tokens, 10 short",
        "matched: 3 documents, 5,100 tokens",
        "matched, fr: 3 of 3 documents",
        "parallel: 2 documents, 100 tokens",
        "warning: parallel, all: 100 of 4,990 tokens, 4,890 short",
    ]


def write_documents(path: Path, rows: list[dict[str, Any]], rows_per_group: int) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), path, row_group_size=rows_per_group)


def make_documents(draw: random.Random, shards: Sequence[str]) -> list[dict[str, Any]]:
    """Shard by shard, with gaps between record numbers: those in quarantine."""
    rows = []
    for shard in shards:
        for record in sorted(draw.sample(range(20), draw.randrange(12))):
            ids = [draw.randrange(9) for _ in range(draw.randrange(5))]
            row = {"source": "s", "doc_id": f"{shard}-{record}", "lang": "en", "text": "é" * record}
            rows.append(row | {"token_ids": ids, "n_tokens": len(ids), "shard": shard, "record": record})
    return rows


def keys_of(rows: Sequence[dict[str, Any]], file: str, draw: random.Random) -> list[dict[str, Any]]:
    return [
        {"file": file, "shard": row["shard"], "record": row["record"], "pivot_density": draw.random()}
        | {"pivot": draw.random() < 0.5, "random": draw.random() < 0.5}
        for row in rows
    ]


def copied(keys: list[dict[str, Any]], folder: Path, batch_size: int) -> dict[str, list[dict[str, Any]]]:
    texts, flags = [("file", pa.string()), ("shard", pa.string())], [("pivot", pa.bool_()), ("random", pa.bool_())]
    schema = pa.schema([*texts, ("record", pa.int64()), ("pivot_density", pa.float64()), *flags])
    batches = pa.Table.from_pylist(keys, schema=schema).to_batches(max_chunksize=batch_size)
    found: dict[str, list[dict[str, Any]]] = {"datasets/pivot": [], "datasets/random": []}
    for table, batch in copy_chosen(iter(batches), f"file:{folder}", ["pivot", "random"]):
        assert batch.schema == DATASET
        found[table] += batch.to_pylist()
    return found


@pytest.mark.parametrize("seed", range(8))
def test_chosen_documents_are_copied_from_their_files(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the row groups, the pieces they are read in, the batches of keys, and the order of a file's keys."""
    draw = random.Random(seed)  # noqa: S311 - a test's fixed draw
    monkeypatch.setattr(filter_documents, "_PIECE_BYTES", draw.choice([1, 500, 1 << 20]))
    keys: list[dict[str, Any]] = []
    documents: dict[tuple[str, int], dict[str, Any]] = {}
    for file, shards in {"f1": ["b", "a"], "f2": ["c"], "f3": ["é", "d", "zz"]}.items():
        rows = make_documents(draw, shards)
        write_documents(tmp_path / file, rows, draw.choice([1, 3, 100]))
        documents |= {(row["shard"], row["record"]): row for row in rows}
        keys += keys_of(draw.sample(rows, draw.randrange(len(rows) + 1)), file, draw)
    found = copied(keys, tmp_path, draw.choice([1, 4, 100]))
    for arm in ("pivot", "random"):
        wanted = [
            documents[key["shard"], key["record"]] | {"pivot_density": key["pivot_density"]} for key in keys if key[arm]
        ]
        got = {(row["shard"], row["record"]): row for row in found[f"datasets/{arm}"]}
        assert len(got) == len(found[f"datasets/{arm}"]) == len(wanted)
        assert got == {(row["shard"], row["record"]): row for row in wanted}


@pytest.mark.parametrize("lost", [{"record": 99}, {"shard": "other"}, {"file": ""}])
def test_a_chosen_document_that_is_not_there_is_told(lost: dict[str, Any], tmp_path: Path) -> None:
    draw = random.Random(0)  # noqa: S311 - a test's fixed draw
    rows = make_documents(draw, ["a", "b"])
    write_documents(tmp_path / "f", rows, 100)
    keys = keys_of(rows, "f", draw)
    with pytest.raises(WarehouseError, match="made from other documents; run score_documents again"):
        copied([*keys[:-1], keys[-1] | lost], tmp_path, 100)


def test_a_chosen_document_that_was_not_found_is_no_silence() -> None:
    from jobs.filter_documents import _check_all_there

    held = {"pivot": {"en": (2, 40), "fr": (1, 7)}}
    _check_all_there(held, {"datasets/pivot": 3})
    with pytest.raises(WarehouseError, match=r"3 documents.*arm pivot, but 2.*score_documents"):
        _check_all_there(held, {"datasets/pivot": 2})
