"""The packed file: sequences, damage, replacement under a reader, and what is not packed again."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

import deltalake
from packing_world import dataset_rows, make_packing_world, packed_documents, run_packing, tokens_file
from small_world import write_table

from jobs.gpu import pack_dataset
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.packing import packed_file
from jobs.gpu.packing.packed_file import open_packed, token_dtype
from pivot_udfs.errors import PackedFileError
from pivot_udfs.load_settings import load_settings

pytestmark = pytest.mark.torch


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    return make_packing_world(tmp_path)


def test_sequences_of_any_length_cover_the_tokens(config: Path) -> None:
    run_packing(config)
    packed = open_packed(config.parent / "results" / "packed" / "pivot")
    for length in (3, 16, 100):
        n = packed.n_sequences(length)
        rows = packed.sequences(np.arange(n), length)
        np.testing.assert_array_equal(rows[:, :-1].ravel(), packed.tokens[: n * length])
        np.testing.assert_array_equal(rows[:, 1:].ravel(), packed.tokens[1 : n * length + 1])


def test_damaged_files_are_refused(config: Path) -> None:
    run_packing(config)
    folder = config.parent / "results" / "packed" / "pivot"
    with pytest.raises(PackedFileError, match="was made with another tokenizer"):
        open_packed(folder, "0" * 64)
    tokens = tokens_file(folder)
    raw = tokens.read_bytes()
    tokens.write_bytes(raw[:-2])
    with pytest.raises(PackedFileError, match="is cut short"):
        open_packed(folder)
    tokens.write_bytes(raw[:-2] + b"\x01\x01")
    with pytest.raises(PackedFileError, match="was altered"):
        open_packed(folder)
    (folder / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(PackedFileError, match="has format 1, expected 4: pack again"):
        open_packed(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(PackedFileError, match=r"run jobs\.gpu\.pack_dataset first"):
        open_packed(folder)


def test_packing_again_keeps_mapped_tokens_and_the_old_file_until_the_end(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_packing(config)
    folder = config.parent / "results" / "packed" / "pivot"
    mapped, before = open_packed(folder).tokens, packed_documents(folder)
    raw, seen = mapped.tobytes(), []
    real = packed_file.write_json

    def write_json(path: Path, value: object) -> None:
        seen.append(packed_documents(path.parent) if path.parent == folder else None)
        real(path, value)

    monkeypatch.setattr(packed_file, "write_json", write_json)
    run_packing(config, "packing.seed=1")
    assert seen[0] == before, "the old one is whole until the manifest is replaced"
    assert packed_documents(folder) != before
    assert mapped.tobytes() == raw, "a training run reads what it has mapped"
    assert len(list(folder.iterdir())) == 2
    assert run_packing(config, "packing.end_token='<none>'") == 2
    assert len(packed_documents(folder)) == len(before), "a packing that fails leaves the old one"


def test_a_packed_file_that_is_replaced_while_it_is_opened_is_opened_again(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_packing(config)
    folder = config.parent / "results" / "packed" / "pivot"
    before, real, calls = packed_documents(folder), packed_file._tokens_file, []

    def tokens_file(*given: Any) -> Path:
        calls.append(given)
        if len(calls) == 1:
            run_packing(config, "packing.seed=1")
        return real(*given)

    monkeypatch.setattr(packed_file, "_tokens_file", tokens_file)
    packed = open_packed(folder)
    assert packed.provenance.settings["packing.seed"] == 1
    assert packed.tokens.tobytes() == open_packed(folder).tokens.tobytes()
    assert packed_documents(folder) != before


def test_an_up_to_date_packed_file_is_not_packed_again(config: Path) -> None:
    def settings(*overrides: str) -> ModelSettings:
        return load_settings(str(config), list(overrides), ModelSettings)

    assert not pack_dataset.is_packed(settings())
    pack_dataset.pack_if_needed(settings())
    assert pack_dataset.is_packed(settings())
    folders = [config.parent / "results" / "packed" / name for name in ("pivot", "held_out")]
    before = [(folder / "manifest.json").stat().st_ino for folder in folders]
    pack_dataset.pack_if_needed(settings())
    assert [(folder / "manifest.json").stat().st_ino for folder in folders] == before
    changes = ("seed=1", "token_budget=9", "held_out_share=0.3", "held_out_tokens=7")
    assert not any(pack_dataset.is_packed(settings(f"packing.{change}")) for change in changes)
    rows = dataset_rows(config.parent / "tokenizer.json", 60)
    write_table(config.parent / "warehouse", "datasets/pivot", rows, config.parent / "tokenizer.json")
    assert not pack_dataset.is_packed(settings())


def test_optimized_and_copied_tables_are_not_packed_again(config: Path) -> None:
    settings = load_settings(str(config), [], ModelSettings)
    pack_dataset.pack_if_needed(settings)
    arm = deltalake.DeltaTable(str(config.parent / "warehouse" / "datasets" / "pivot"))
    arm.optimize.z_order(["doc_id"])
    assert arm.version() > 0
    arm.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert pack_dataset.is_packed(settings)
    (config.parent / "warehouse").rename(config.parent / "copy")
    moved = load_settings(str(config), [f"warehouse.path={config.parent / 'copy'}"], ModelSettings)
    assert pack_dataset.is_packed(moved)


def test_a_table_that_was_made_anew_is_packed_again(config: Path) -> None:
    settings, tokenizer = load_settings(str(config), [], ModelSettings), config.parent / "tokenizer.json"
    pack_dataset.pack_if_needed(settings)
    shutil.rmtree(config.parent / "warehouse" / "datasets")
    write_table(config.parent / "warehouse", "datasets/pivot", dataset_rows(tokenizer, 60), tokenizer)
    assert not pack_dataset.is_packed(settings), "its version is 0 again, its id is another"


@pytest.mark.parametrize("name", ["pivot", "held_out"])
def test_a_damaged_part_is_packed_again(config: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    run_packing(config)
    folder = config.parent / "results" / "packed" / name
    before = packed_documents(folder)
    tokens_file(folder).write_bytes(b"")
    settings = load_settings(str(config), [], ModelSettings)
    assert not pack_dataset.is_packed(settings)
    assert "is cut short: 0 bytes" in capsys.readouterr().err
    pack_dataset.pack_if_needed(settings)
    assert packed_documents(folder) == before


def test_the_dtype_follows_the_vocabulary() -> None:
    assert token_dtype(65_536) == np.uint16
    assert token_dtype(65_537) == np.uint32
