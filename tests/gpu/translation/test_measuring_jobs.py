"""The measuring jobs end to end in process: task, scores, traces; resuming, and refusing what does not fit."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from small_world import LEXICON, make_world, write_pair_tables, write_tokenizer
from tiny_models import tiny_model

from jobs.gpu import build_translation_task, evaluate_translation, trace_layers
from jobs.gpu.models.load_model import save_model
from jobs.gpu.translation.prompts import WordTokens
from pivot_udfs.tokenization.backends import load_tokenizer

pytestmark = pytest.mark.torch


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    config = make_world(folder, translation={"directions": ["fr-zh", "en-fr"]})
    save_model(tiny_model(vocabulary=400), folder / "model", load_tokenizer(str(folder / "tokenizer.json")))
    write_pair_tables(folder)
    assert build_translation_task.main(["--config", str(config)]) == 0
    assert evaluate_translation.main(["--config", str(config)]) == 0
    assert trace_layers.main(["--config", str(config)]) == 0
    return config


def _read(config: Path, name: str) -> pa.Table:
    return pq.read_table(config.parent / "results" / name)


def test_there_is_one_score_per_word_and_direction(config: Path) -> None:
    scores = _read(config, "scores.parquet")
    task = (config.parent / "results" / "task.jsonl").read_text(encoding="utf-8").splitlines()
    assert scores.num_rows == sum('"distractors": [' in line for line in task)
    summary = json.loads((config.parent / "results" / "scores.json").read_text())
    mean = sum(scores["score"].to_pylist()) / scores.num_rows
    assert summary["all"]["mean"] == pytest.approx(mean)
    assert summary["fr-zh"]["low"] <= summary["fr-zh"]["mean"] <= summary["fr-zh"]["high"]


def test_an_interrupted_evaluation_is_resumed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _read(config, "scores.parquet")
    parts = sorted((config.parent / "results" / "scores").glob("*.parquet"))
    assert len(parts) == 4
    kept = parts[0].stat().st_mtime_ns
    parts[2].unlink()
    (parts[2].with_suffix(".partial")).write_bytes(b"half a file")
    assert evaluate_translation.main(["--config", str(config)]) == 0
    assert _read(config, "scores.parquet").equals(before)
    assert parts[0].stat().st_mtime_ns == kept


def test_results_of_another_model_are_not_mixed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = config.parent / "other"
    save_model(tiny_model(seed=1, vocabulary=400), other)
    code = evaluate_translation.main(["--config", str(config), "--set", f"model.path={other}"])
    assert code == 2
    assert "scores holds results made from files model/model.safetensors = " in capsys.readouterr().err


def test_results_of_an_earlier_release_are_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = config.parent / "old"
    shutil.copytree(config.parent / "results", results)
    (results / "scores" / "_provenance.json").rename(results / "scores" / "_made_by.json")
    assert evaluate_translation.main(["--config", str(config), "--set", f"results.path={results}"]) == 2
    assert "scores holds results made from an earlier release (no provenance): delete" in capsys.readouterr().err


def test_a_task_of_other_settings_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["--set", "translation.n_draws=1", "--set", "translation.n_distractors=2"]
    assert evaluate_translation.main(["--config", str(config), *changes]) == 2
    error = capsys.readouterr().err
    assert "was made from settings translation.n_distractors = 3, now 2" in error
    assert "run jobs.gpu.build_translation_task" in error


def test_a_direction_that_the_task_lacks_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for job in (evaluate_translation, trace_layers):
        assert job.main(["--config", str(config), "--set", 'translation.directions=["zh-fr","fr-zh"]']) == 2
        assert "has no words of direction zh-fr, only of fr-zh, en-fr" in capsys.readouterr().err


def test_only_the_directions_asked_for_are_scored(config: Path) -> None:
    results = config.parent / "part"
    results.mkdir()
    shutil.copy(config.parent / "results" / "task.jsonl", results)
    options = ["--set", f"results.path={results}", "--set", 'translation.directions=["en-fr"]']
    assert evaluate_translation.main(["--config", str(config), *options]) == 0
    assert set(pq.read_table(results / "scores.parquet")["direction"].to_pylist()) == {"en-fr"}
    assert not list((results / "scores").glob("fr-zh*"))


def test_a_missing_start_token_gives_a_warning(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(config.parent / "model", tmp_path / "model")
    added = {"add_bos_token": True, "bos_token": "<|endoftext|>"}
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(added))
    options = ["--set", f"model.path={tmp_path / 'model'}", "--set", f"results.path={tmp_path / 'results'}"]
    assert evaluate_translation.main(["--config", str(config), *options]) == 0
    assert "set translation.start_token = '<|endoftext|>'" in capsys.readouterr().err
    options = [*options[:-1], f"results.path={tmp_path / 'more'}", "--set", "translation.start_token='<|endoftext|>'"]
    assert evaluate_translation.main(["--config", str(config), *options]) == 0
    assert "WARNING" not in capsys.readouterr().err


def test_traces_hold_every_layer_and_the_sets(config: Path) -> None:
    rows = _read(config, "traces/fr-zh.parquet").to_pylist()
    tokens = WordTokens(load_tokenizer(str(config.parent / "tokenizer.json")))
    for row in rows:
        assert len(row["top_ids"]) == 3
        assert len(row["p_pivot"]) == 3
        assert row["behaviour"] in ("direct", "pivot")
        assert row["n_pivots"] <= 3
        own = tokens.of("fr", row["source"])
        listed = sum(p for t, p in zip(row["top_ids"][1], row["top_probabilities"][1], strict=True) if t in own)
        assert row["p_source"][1] >= listed - 1e-6
    assert {row["concept"] for row in rows} <= set(range(len(LEXICON)))


def test_a_trace_is_the_same_with_and_without_a_shared_prefix(config: Path) -> None:
    results = config.parent / "whole"
    options = ["--set", f"results.path={results}", "--set", "translation.prefix_reuse=false"]
    assert trace_layers.main(["--config", str(config), *options]) == 0
    one, other = (pq.read_table(path / "traces").to_pylist() for path in (config.parent / "results", results))
    for a, b in zip(one, other, strict=True):
        assert a["p_target"] == pytest.approx(b["p_target"], abs=1e-5)
        assert a["p_pivot"] == pytest.approx(b["p_pivot"], abs=1e-5)
        assert a["behaviour"] == b["behaviour"]


def test_tables_of_another_tokenizer_are_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_tokenizer(config.parent / "other-tokenizer.json", vocabulary=399, extra="quite other words")
    options = ["--set", f"tokenizer.path={other}", "--set", f"results.path={config.parent / 'r2'}"]
    assert trace_layers.main(["--config", str(config), *options]) == 2
    assert "was made with the tokenizer" in capsys.readouterr().err
    assert evaluate_translation.main(["--config", str(config), *options]) == 2
    assert "have other tokens than in tokenizer.path" in capsys.readouterr().err


def test_the_error_for_a_missing_table_names_the_remedy(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--set", f"warehouse.path={config.parent / 'nowhere'}"]
    assert trace_layers.main(["--config", str(config), *options]) == 2
    assert "is no Delta table: run the corpus job" in capsys.readouterr().err


def test_dry_run_prints_the_settings(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trace_layers.main(["--config", str(config), "--set", "trace.top_k=3", "--dry-run"]) == 0
    assert "top_k = 3" in capsys.readouterr().out


def test_an_unknown_key_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trace_layers.main(["--config", str(config), "--set", "trace.topk=3"]) == 2
    assert "did you mean 'top_k'" in capsys.readouterr().err
