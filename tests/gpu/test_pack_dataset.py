"""Packing: every token once, in an order that depends on keys and seed alone; and damaged files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

from small_world import make_world, write_table

from jobs.gpu import pack_dataset
from jobs.gpu.errors import PackedFileError
from jobs.gpu.packed_file import open_packed, token_dtype
from pivot_udfs.tokenizer_backends import encoder, load_tokenizer

pytestmark = pytest.mark.torch
LANGUAGES = ("en", "fr", "zh")


def dataset_rows(tokenizer: Path, n: int = 120) -> list[dict[str, Any]]:
    encode = encoder(load_tokenizer(str(tokenizer))).encode
    rows = []
    for k in range(n):
        text = f"document {k} " + "水 eau water " * (k % 7 + 1)
        ids = encode([text])[0].tolist()
        row = {"source": "s", "doc_id": str(k), "lang": LANGUAGES[k % 3], "text": text, "token_ids": ids}
        rows.append(row | {"n_tokens": len(ids), "pivot_density": 0.5, "shard": "x", "record": k})
    return rows


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    config = make_world(tmp_path, packing={"held_out_share": 0.2})
    rows = dataset_rows(tmp_path / "tokenizer.json")
    for name in ("documents", "datasets/pivot"):
        write_table(tmp_path / "warehouse", name, rows, tmp_path / "tokenizer.json")
    return config


def _pack(config: Path, *overrides: str) -> int:
    return pack_dataset.main(["--config", str(config), *(x for o in overrides for x in ("--set", o))])


def _documents(folder: Path) -> list[tuple[int, ...]]:
    packed = open_packed(folder)
    bounds = packed.boundaries
    return [tuple(packed.tokens[bounds[k] : bounds[k + 1]].tolist()) for k in range(len(bounds) - 1)]


def test_every_document_is_packed_once_with_its_end_token(config: Path) -> None:
    assert _pack(config) == 0
    packed = config.parent / "results" / "packed"
    training, kept = _documents(packed / "pivot"), _documents(packed / "held_out")
    expected = [(*row["token_ids"], 0) for row in dataset_rows(config.parent / "tokenizer.json")]
    assert sorted(training + kept) == sorted(expected)
    assert 0.05 < len(kept) / len(expected) < 0.4
    assert training != sorted(training, key=expected.index), "documents are shuffled"


def test_packing_is_deterministic_whatever_the_tables_order(config: Path) -> None:
    _pack(config)
    folder = config.parent / "results" / "packed" / "pivot"
    before = (folder / "tokens.bin").read_bytes()
    rows = dataset_rows(config.parent / "tokenizer.json")[::-1]
    write_table(config.parent / "warehouse", "datasets/pivot", rows, config.parent / "tokenizer.json")
    _pack(config)
    assert (folder / "tokens.bin").read_bytes() == before
    _pack(config, "packing.seed=1")
    assert (folder / "tokens.bin").read_bytes() != before
    assert json.loads((folder / "manifest.json").read_text())["seed"] == 1


def test_an_older_version_can_be_pinned(config: Path) -> None:
    _pack(config)
    before = _documents(config.parent / "results" / "packed" / "pivot")
    few = dataset_rows(config.parent / "tokenizer.json", 10)
    write_table(config.parent / "warehouse", "datasets/pivot", few, config.parent / "tokenizer.json")
    _pack(config, "packing.version=0")
    assert _documents(config.parent / "results" / "packed" / "pivot") == before
    _pack(config)
    assert len(_documents(config.parent / "results" / "packed" / "pivot")) <= 10


def test_the_budget_is_met_exactly(config: Path) -> None:
    _pack(config, "packing.token_budget=301")
    packed = open_packed(config.parent / "results" / "packed" / "pivot")
    assert len(packed.tokens) == 301
    _pack(config)
    whole = open_packed(config.parent / "results" / "packed" / "pivot")
    np.testing.assert_array_equal(whole.tokens[:300], packed.tokens[:300])


def test_held_out_documents_lie_by_language_with_their_bytes(config: Path) -> None:
    _pack(config)
    packed = open_packed(config.parent / "results" / "packed" / "held_out")
    by_ids = {tuple(r["token_ids"]): r for r in dataset_rows(config.parent / "tokenizer.json")}
    documents = _documents(config.parent / "results" / "packed" / "held_out")
    for language, about in packed.manifest["languages"].items():
        first = about["first_document"]
        rows = [by_ids[ids[:-1]] for ids in documents[first : first + about["n_documents"]]]
        assert {row["lang"] for row in rows} == {language}
        assert sum(len(row["text"].encode()) for row in rows) == about["n_bytes"]


def test_held_out_documents_keep_to_their_limit(config: Path) -> None:
    _pack(config, "packing.held_out_tokens=60", "packing.held_out_share=0.5")
    manifest = open_packed(config.parent / "results" / "packed" / "held_out").manifest
    assert all(20 < about["n_tokens"] <= 60 for about in manifest["languages"].values())
    _pack(config, "packing.held_out_tokens=1", "packing.held_out_share=0.5")
    manifest = open_packed(config.parent / "results" / "packed" / "held_out").manifest
    assert {about["n_documents"] for about in manifest["languages"].values()} == {1}


def test_duplicate_keys_are_all_packed(config: Path) -> None:
    rows = dataset_rows(config.parent / "tokenizer.json", 8)
    write_table(config.parent / "warehouse", "datasets/pivot", rows * 2, config.parent / "tokenizer.json")
    _pack(config, "packing.held_out_share=0.000001")
    found = _documents(config.parent / "results" / "packed" / "pivot")
    assert sorted(found) == sorted([(*row["token_ids"], 0) for row in rows] * 2)


def test_sequences_of_any_length_cover_the_tokens(config: Path) -> None:
    _pack(config)
    packed = open_packed(config.parent / "results" / "packed" / "pivot")
    for length in (3, 16, 100):
        n = packed.n_sequences(length)
        rows = packed.sequences(np.arange(n), length)
        np.testing.assert_array_equal(rows[:, :-1].ravel(), packed.tokens[: n * length])
        np.testing.assert_array_equal(rows[:, 1:].ravel(), packed.tokens[1 : n * length + 1])


def test_damaged_files_are_refused(config: Path) -> None:
    _pack(config)
    folder = config.parent / "results" / "packed" / "pivot"
    with pytest.raises(PackedFileError, match="packed with the tokenizer"):
        open_packed(folder, "0" * 64)
    raw = (folder / "tokens.bin").read_bytes()
    (folder / "tokens.bin").write_bytes(raw[:-2])
    with pytest.raises(PackedFileError, match="is cut short"):
        open_packed(folder)
    (folder / "tokens.bin").write_bytes(raw[:-2] + b"\x01\x01")
    with pytest.raises(PackedFileError, match="was altered"):
        open_packed(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(PackedFileError, match=r"run jobs\.gpu\.pack_dataset first"):
        open_packed(folder)


def test_a_vacuumed_version_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (config.parent / "warehouse" / "datasets" / "pivot").glob("*.parquet"):
        path.unlink()
    assert _pack(config) == 2
    assert "probably vacuumed: use a newer version" in capsys.readouterr().err.replace("it was ", "")


def test_missing_versions_and_foreign_tokenizers(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _pack(config, "packing.version=99") == 2
    assert "has no readable version 99" in capsys.readouterr().err
    assert _pack(config, "packing.end_token='<none>'") == 2
    assert "set packing.end_token" in capsys.readouterr().err


def test_a_table_is_known_by_the_tables_it_was_made_from(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warehouse, rows = config.parent / "warehouse", dataset_rows(config.parent / "tokenizer.json", 20)
    write_table(warehouse, "document_scores", [], None, inputs={"documents": 0})
    write_table(warehouse, "datasets/pivot", rows, None, inputs={"document_scores": 0})
    assert _pack(config) == 0
    write_table(warehouse, "datasets/pivot", rows, None, inputs={"pivots": 7})
    assert _pack(config) == 2
    assert "does not say which tokenizer made it" in capsys.readouterr().err


def test_the_dtype_follows_the_vocabulary() -> None:
    assert token_dtype(65_536) == np.uint16
    assert token_dtype(65_537) == np.uint32
