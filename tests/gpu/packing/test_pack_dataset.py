"""Packing: every token once, in an order that depends on keys and seed alone; tables that cannot be packed."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

import deltalake
import pyarrow as pa
from packing_world import LANGUAGES, dataset_rows, make_packing_world, packed_documents, run_packing
from small_world import write_table

from jobs.gpu.common.read_tables import open_table
from jobs.gpu.packing.packed_file import open_packed, read_manifest
from jobs.warehouse.releases import Release
from pivot_udfs.schemas import DATASET

pytestmark = pytest.mark.torch


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    return make_packing_world(tmp_path)


def test_every_document_is_packed_once_with_its_end_token(config: Path) -> None:
    assert run_packing(config) == 0
    packed = config.parent / "results" / "packed"
    training, kept = packed_documents(packed / "pivot"), packed_documents(packed / "held_out")
    expected = [(*row["token_ids"], 0) for row in dataset_rows(config.parent / "tokenizer.json")]
    assert sorted(training + kept) == sorted(expected)
    assert 0.05 < len(kept) / len(expected) < 0.4
    assert training != sorted(training, key=expected.index), "documents are shuffled"


def test_packing_does_not_depend_on_the_order_of_the_table(config: Path) -> None:
    run_packing(config)
    folder = config.parent / "results" / "packed" / "pivot"
    before = open_packed(folder).tokens.tobytes()
    rows = dataset_rows(config.parent / "tokenizer.json")[::-1]
    write_table(config.parent / "warehouse", "datasets/pivot", rows, config.parent / "tokenizer.json")
    run_packing(config)
    assert open_packed(folder).tokens.tobytes() == before
    run_packing(config, "packing.seed=1")
    assert open_packed(folder).tokens.tobytes() != before
    assert open_packed(folder).provenance.settings["packing.seed"] == 1


def test_the_newest_rows_are_packed(config: Path) -> None:
    run_packing(config)
    few = dataset_rows(config.parent / "tokenizer.json", 10)
    write_table(config.parent / "warehouse", "datasets/pivot", few, config.parent / "tokenizer.json")
    run_packing(config)
    assert len(packed_documents(config.parent / "results" / "packed" / "pivot")) <= 10


def test_the_budget_is_met_exactly(config: Path) -> None:
    run_packing(config, "packing.token_budget=301")
    packed = open_packed(config.parent / "results" / "packed" / "pivot")
    assert len(packed.tokens) == 301
    run_packing(config)
    whole = open_packed(config.parent / "results" / "packed" / "pivot")
    np.testing.assert_array_equal(whole.tokens[:300], packed.tokens[:300])


def test_held_out_documents_lie_by_language_with_their_bytes(config: Path) -> None:
    run_packing(config)
    packed = open_packed(config.parent / "results" / "packed" / "held_out")
    by_ids = {tuple(r["token_ids"]): r for r in dataset_rows(config.parent / "tokenizer.json")}
    documents = packed_documents(config.parent / "results" / "packed" / "held_out")
    for language, about in packed.manifest["languages"].items():
        found, documents = documents[: about["n_documents"]], documents[about["n_documents"] :]
        rows = [by_ids[ids[:-1]] for ids in found]
        assert sum(map(len, found)) == about["n_tokens"]
        assert {row["lang"] for row in rows} == {language}
        assert sum(len(row["text"].encode()) for row in rows) == about["n_bytes"]


def test_the_held_out_part_is_replaced_where_it_may_hold_what_was_forgotten(config: Path) -> None:
    warehouse, tokenizer = config.parent / "warehouse", config.parent / "tokenizer.json"
    rows = dataset_rows(tokenizer)
    folder = config.parent / "results" / "packed" / "held_out"
    run_packing(config)
    before = read_manifest(folder)
    held_out = next(row for row in rows if (*row["token_ids"], 0) in packed_documents(folder))
    left = [row for row in rows if row != held_out]
    for documents, blocked, stays in ((rows, "none", True), (left, "none", True), (left, held_out["doc_id"], False)):
        for name in ("documents", "datasets/pivot"):
            write_table(warehouse, name, documents, tokenizer)
        write_table(warehouse, "blocked", [{"source": "s", "doc_id": blocked}], None)
        assert run_packing(config) == 0
        assert (read_manifest(folder) == before) == stays
    assert (*held_out["token_ids"], 0) not in packed_documents(folder)
    replaced = read_manifest(folder)
    write_table(warehouse, "documents", left[1:], tokenizer)
    deltalake.DeltaTable(warehouse / "documents").vacuum(0, dry_run=False, enforce_retention_duration=False)
    run_packing(config)
    assert read_manifest(folder) == replaced, "the block list is that of when it was packed"
    write_table(warehouse, "blocked", [{"source": "s", "doc_id": "another"}], None)
    run_packing(config)
    assert read_manifest(folder) != replaced, "its documents are no longer there to be compared"


def test_held_out_documents_stay_within_the_limit(config: Path) -> None:
    run_packing(config, "packing.held_out_tokens=60", "packing.held_out_share=0.5")
    manifest = open_packed(config.parent / "results" / "packed" / "held_out").manifest
    assert all(20 < about["n_tokens"] <= 60 for about in manifest["languages"].values())
    run_packing(config, "packing.held_out_tokens=1", "packing.held_out_share=0.5")
    manifest = open_packed(config.parent / "results" / "packed" / "held_out").manifest
    assert {about["n_documents"] for about in manifest["languages"].values()} == {1}


def test_duplicate_keys_are_all_packed(config: Path) -> None:
    rows = dataset_rows(config.parent / "tokenizer.json", 8)
    write_table(config.parent / "warehouse", "datasets/pivot", rows * 2, config.parent / "tokenizer.json")
    run_packing(config, "packing.held_out_share=0.000001")
    found = packed_documents(config.parent / "results" / "packed" / "pivot")
    assert sorted(found) == sorted([(*row["token_ids"], 0) for row in rows] * 2)


def test_rows_of_many_files_are_packed_in_hash_order(config: Path) -> None:
    """All documents have one length, so that only their tokens show whether rows were mixed up."""
    table, tokenizer = config.parent / "warehouse" / "datasets/pivot", config.parent / "tokenizer.json"
    rows = [
        {
            "source": f"s{k % 2}",
            "doc_id": str(k),
            "lang": LANGUAGES[k % 3],
            "text": "",
            "token_ids": [1, k % 350, k // 350],
        }
        | {"n_tokens": 3, "pivot_density": 0.5, "shrunken_density": 0.5, "shard": "x", "record": k}
        for k in range(1200)
    ]
    write_table(table.parents[1], "datasets/pivot", rows[:100], tokenizer)
    for first in range(100, 1200, 100):
        part = pa.Table.from_pylist(rows[first : first + 100], schema=DATASET)
        deltalake.write_deltalake(str(table), part, mode="append")
    assert run_packing(config) == 0
    packed = open_packed(config.parent / "results" / "packed" / "pivot")
    pinned = open_table(str(table.parents[1]), "datasets/pivot")
    assert len(pinned.table.file_uris()) == 12
    hashes = {row["token_ids"][1] + 350 * row["token_ids"][2]: _order_hash(row) for row in rows}
    numbers = [ids[1] + 350 * ids[2] for ids in packed.tokens.reshape(-1, 4).astype(int).tolist()]
    kept = [row["record"] for row in rows if _order_hash(row, b"held out") >= int(0.2 * 2**63) * 2]
    assert numbers == sorted(kept, key=lambda k: hashes[k])


def _order_hash(row: dict[str, Any], salt: bytes = b"order 0") -> int:
    """An independent implementation of the order hash: packed files must stay reproducible."""
    key = f"{row['source']}\x00{row['doc_id']}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8, key=salt).digest(), "little")


@pytest.mark.parametrize(("bad", "shown"), [(400, "400"), (70_000, "70000"), (-1, "-1")])
def test_ids_that_the_tokenizer_lacks_are_refused(
    config: Path, capsys: pytest.CaptureFixture[str], bad: int, shown: str
) -> None:
    rows = dataset_rows(config.parent / "tokenizer.json")
    for row in rows:
        row["token_ids"][-1] = bad  # the budget cuts it off, and it is refused still
    write_table(config.parent / "warehouse", "datasets/pivot", rows, config.parent / "tokenizer.json")
    assert run_packing(config, "packing.token_budget=5") == 2
    assert f"token id {shown}, the tokenizer has 400" in capsys.readouterr().err


def test_a_row_that_miscounts_its_tokens_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = dataset_rows(config.parent / "tokenizer.json")
    rows[7]["n_tokens"] += 1
    write_table(config.parent / "warehouse", "datasets/pivot", rows, config.parent / "tokenizer.json")
    assert run_packing(config) == 2
    n = rows[7]["n_tokens"]
    assert f"holds {n - 1} token ids, its n_tokens is {n}: rebuild the table" in capsys.readouterr().err


def test_the_newest_version_is_checked_by_its_own_commit(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warehouse, rows = config.parent / "warehouse", dataset_rows(config.parent / "tokenizer.json", 20)
    write_table(warehouse, "datasets/pivot", rows, config)  # any other file's hash
    assert run_packing(config) == 2
    assert "was made with another tokenizer" in capsys.readouterr().err
    write_table(warehouse, "datasets/pivot", rows, config.parent / "tokenizer.json")
    assert run_packing(config) == 0


def test_a_table_without_its_files_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (config.parent / "warehouse" / "datasets" / "pivot").glob("*.parquet"):
        path.unlink()
    assert run_packing(config) == 2
    assert "is missing): run rebuild_corpus, or restore it from a copy" in capsys.readouterr().err


def test_the_manifest_has_the_number_of_the_release(config: Path, tmp_path: Path) -> None:
    warehouse = config.parent / "warehouse"
    rows = [Release(n, datetime(2026, 1, 1, tzinfo=UTC), {}, "{}").row() for n in (0, 7)]
    write_table(warehouse, "releases", rows, None)
    for number, options in ((7, ()), (0, ("warehouse.release=0",))):
        results = f"results.path={tmp_path / str(number)}"
        assert run_packing(config, results, *options) == 0
        assert read_manifest(tmp_path / str(number) / "packed" / "pivot")["warehouse_release"] == number


def test_a_missing_release_or_end_token_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_packing(config, "warehouse.release=99") == 2
    assert "has no release 99" in capsys.readouterr().err
    assert run_packing(config, "packing.end_token='<none>'") == 2
    assert "set packing.end_token" in capsys.readouterr().err


def test_a_table_that_does_not_record_its_tokenizer_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = dataset_rows(config.parent / "tokenizer.json", 20)
    write_table(config.parent / "warehouse", "datasets/pivot", rows, None)
    assert run_packing(config) == 2
    assert "does not say which tokenizer made it" in capsys.readouterr().err
