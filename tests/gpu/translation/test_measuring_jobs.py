"""The measuring jobs end to end in process: task, scores, traces; resuming, and refusing what does not fit."""

# ruff: noqa: E402
import json
import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from small_world import LEXICON, make_world, write_pair_tables, write_tokenizer
from tiny_models import tiny_model

from jobs.gpu import build_translation_task, evaluate_translation, trace_layers
from jobs.gpu.build_translation_task import load_task, task_tokens
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.load_model import load_model, save_model
from jobs.gpu.models.output_head import captured_outputs, find_output_head
from jobs.gpu.tracing.ablation import Removal, Unembedding, target_log_probabilities
from jobs.gpu.translation import task_model
from jobs.gpu.translation.prompt_runner import PromptRunner
from jobs.gpu.translation.score_words import draw_prompts
from jobs.gpu.translation.word_tokens import WordTokens
from pivot_udfs.load_settings import load_settings
from pivot_udfs.tokenization.backends import load_tokenizer

pytestmark = pytest.mark.torch


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    config = make_world(folder, translation={"directions": ["fr-zh", "zh-fr"]})
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
    assert "scores holds results made from another model/model.safetensors: " in capsys.readouterr().err


def test_results_of_an_earlier_release_are_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = config.parent / "old"
    shutil.copytree(config.parent / "results", results)
    (results / "scores" / "_provenance.json").rename(results / "scores" / "_made_by.json")
    assert evaluate_translation.main(["--config", str(config), "--set", f"results.path={results}"]) == 2
    assert "scores holds results made from something unknown (no provenance): delete" in capsys.readouterr().err


def test_a_task_of_other_settings_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["--set", "translation.n_draws=1", "--set", "translation.n_distractors=2"]
    assert evaluate_translation.main(["--config", str(config), *changes]) == 2
    error = capsys.readouterr().err
    assert "was made from settings translation.n_distractors = 3, now 2" in error
    assert "run jobs.gpu.build_translation_task" in error


def test_a_direction_that_the_task_lacks_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for job in (evaluate_translation, trace_layers):
        assert job.main(["--config", str(config), "--set", 'translation.directions=["fr-en","fr-zh"]']) == 2
        assert "has no words of direction fr-en, only of fr-zh, zh-fr" in capsys.readouterr().err


def test_only_the_directions_asked_for_are_scored(config: Path) -> None:
    results = config.parent / "part"
    results.mkdir()
    shutil.copy(config.parent / "results" / "task.jsonl", results)
    options = ["--set", f"results.path={results}", "--set", 'translation.directions=["zh-fr"]']
    assert evaluate_translation.main(["--config", str(config), *options]) == 0
    assert set(pq.read_table(results / "scores.parquet")["direction"].to_pylist()) == {"zh-fr"}
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


def test_traces_hold_every_layer_and_language(config: Path) -> None:
    table = _read(config, "traces/fr-zh.parquet")
    tokens = WordTokens(load_tokenizer(str(config.parent / "tokenizer.json")))
    assert table.num_rows
    for row in table.to_pylist():
        assert len(row["top_ids"]) == len(row["p_pair_pivots"]) == len(row["p_fr"]) == len(row["reached_fr"]) == 3
        assert len(row["retrieval_rank"]) == 3
        assert set(row["retrieval_rank"]) <= set(range(table.num_rows))
        assert row["p_zh"] is None, "the tokenizer writes Chinese in bytes"
        assert row["behaviour"] in ("direct", "pivot")
        assert row["pivot_language"] in ("en", None), "French and Chinese are the pair's own languages"
        assert row["n_pair_pivots"] <= 3
        assert row["control_concept"] != row["concept"]
        own = {*tokens.first_whole([LEXICON[row["concept"]][1]]), *tokens.first_whole([f" {row['source']}"])}
        listed = sum(p for t, p in zip(row["top_ids"][1], row["top_probabilities"][1], strict=True) if t in own)
        assert row["p_fr"][1] >= listed - 1e-6


def test_an_answer_that_begins_with_a_piece_of_a_character_is_not_measured(config: Path) -> None:
    names = ("p_target", "log_probability", "without_pivot", "without_control", "without_rival")
    for row in _read(config, "traces/fr-zh.parquet").to_pylist():  # the tokenizer writes Chinese in bytes
        assert [row[name] for name in names] == [None] * 5
    french = _read(config, "traces/zh-fr.parquet").to_pylist()
    assert french
    for row in french:
        assert row["log_probability"] == pytest.approx(math.log(row["p_target"][-1]), abs=1e-4)
        assert (row["without_pivot"] is None) == (row["pivot_layer"] is None)


def test_the_rival_is_the_best_word_of_the_layer_that_is_neither_pivot_nor_answer(config: Path) -> None:
    settings = load_settings(str(config), [], ModelSettings)
    task, model = load_task(settings), load_model(settings.model)
    tokens, head = task_tokens(settings, load_tokenizer(settings.tokenizer.path)), find_output_head(model)
    runner, unembedding, removed = PromptRunner(model, 4), Unembedding(head), 0
    for row in pq.read_table(config.parent / "results" / "traces").to_pylist():
        layer, answer = row["pivot_layer"], row["answer_ids"][0]
        taken = tokens.wordless | {answer, *row["pivot_ids"]}
        rival = next((k for k in row["top_ids"][layer] if k not in taken), None) if layer is not None else None
        measured = row["log_probability"] is not None and rival is not None
        assert (row["without_rival"] is not None) == measured
        if measured:
            (prompt,) = draw_prompts([row["source"]], row["direction"], task.examples[row["direction"]][0], tokens)
            lead = tokens.answer(row["direction"][-2:], row["target"])[: -len(row["answer_ids"])]
            removal = Removal(layer, unembedding.basis([rival], answer, layer))
            expected = target_log_probabilities(runner, head, [[*prompt, *lead]], [answer], [removal])
            assert row["without_rival"] == pytest.approx(expected[0], abs=1e-4)
            removed += 1
    assert removed


def test_the_deciding_layer_of_a_trace_has_a_word_as_its_best_token(config: Path) -> None:
    tokens = WordTokens(load_tokenizer(str(config.parent / "tokenizer.json")))
    rows = pq.read_table(config.parent / "results" / "traces").to_pylist()
    decided = [row for row in rows if row["pivot_layer"] is not None]
    assert decided
    assert all(row["top_ids"][row["pivot_layer"]][0] not in tokens.wordless for row in decided)
    undecided = [row for row in rows if row["pivot_layer"] is None]
    assert all(row["latent_behaviour"] == "undecided" for row in undecided)


def test_no_label_is_decided_by_a_piece_of_a_word(config: Path) -> None:
    tokens = WordTokens(load_tokenizer(str(config.parent / "tokenizer.json")))
    labels: dict[bool, set[bool]] = {False: set(), True: set()}
    for row in pq.read_table(config.parent / "results" / "traces").to_pylist():
        assert all(tokens.texts[token].strip() == LEXICON[row["concept"]][0] for token in row["pivot_ids"])
        for number, label in ((row["concept"], "latent_behaviour"), (row["control_concept"], "control_behaviour")):
            english = "" if number is None else LEXICON[number][0]
            is_word = any(len(tokens.ids(text)) == 1 for text in (english, f" {english}"))
            labels[is_word].add(row[label] != "undecided")
    assert True in labels[True]
    assert labels[False] == {False}


def test_a_trace_is_the_same_with_and_without_a_shared_prefix(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = config.parent / "whole"
    monkeypatch.setattr(task_model, "reuse_is_exact", lambda *_: False)
    options = ["--set", f"results.path={results}"]
    assert trace_layers.main(["--config", str(config), *options]) == 0
    one, other = (pq.read_table(path / "traces").to_pylist() for path in (config.parent / "results", results))
    for a, b in zip(one, other, strict=True):
        for name in ("p_target", "p_pair_pivots", "p_fr", "without_pivot", "without_control", "without_rival"):
            assert a[name] == pytest.approx(b[name], abs=1e-4)
        assert a["latent_behaviour"] == b["latent_behaviour"]


def test_layers_are_read_so_many_tokens_before_the_answer(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(config.parent / "results" / "task.jsonl", tmp_path)
    options = ["--config", str(config), "--set", f"results.path={tmp_path}", "--set"]
    assert trace_layers.main([*options, "trace.tokens_before=5000"]) == 2
    assert "trace.tokens_before = 5000, but a prompt has" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "traces", ignore_errors=True)
    assert trace_layers.main([*options, "trace.tokens_before=2"]) == 0
    settings = load_settings(str(config), [], ModelSettings)
    task, model = load_task(settings), load_model(settings.model)
    tokens, head = task_tokens(settings, load_tokenizer(settings.tokenizer.path)), find_output_head(model)
    at_answer = pq.read_table(config.parent / "results" / "traces").to_pylist()
    for row, usual in zip(pq.read_table(tmp_path / "traces").to_pylist(), at_answer, strict=True):
        (prompt,) = draw_prompts([row["source"]], row["direction"], task.examples[row["direction"]][0], tokens)
        lead = tokens.answer(row["direction"][-2:], row["target"])[: -len(row["answer_ids"])]
        with captured_outputs(head.layers) as outputs, torch.no_grad():
            model(torch.tensor([[*prompt, *lead]]))
        for layer, output in enumerate(outputs):
            expected = head.logits(output[0, -3]).softmax(dim=-1)[row["top_ids"][layer]].tolist()
            assert row["top_probabilities"][layer] == pytest.approx(expected, abs=1e-5)
        assert row["log_probability"] == pytest.approx(usual["log_probability"], abs=1e-4)
        assert (row["p_target"] is None) == (usual["log_probability"] is None)
        assert row["without_pivot"] is row["without_control"] is row["without_rival"] is None


def test_tables_of_another_tokenizer_are_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_tokenizer(config.parent / "other-tokenizer.json", vocabulary=399, extra="quite other words")
    options = ["--set", f"tokenizer.path={other}", "--set", f"results.path={config.parent / 'r2'}"]
    assert trace_layers.main(["--config", str(config), *options]) == 2
    assert "was made with another tokenizer" in capsys.readouterr().err
    assert evaluate_translation.main(["--config", str(config), *options]) == 2
    assert "have other tokens than in tokenizer.path" in capsys.readouterr().err


def test_the_error_for_a_missing_table_names_the_remedy(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--set", f"warehouse.path={config.parent / 'nowhere'}"]
    assert trace_layers.main(["--config", str(config), *options]) == 2
    assert "run rebuild_corpus first, or correct warehouse.path" in capsys.readouterr().err


def test_dry_run_prints_the_settings(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trace_layers.main(["--config", str(config), "--set", "trace.top_k=3", "--dry-run"]) == 0
    assert "top_k = 3" in capsys.readouterr().out


def test_an_unknown_key_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trace_layers.main(["--config", str(config), "--set", "trace.topk=3"]) == 2
    assert "did you mean 'top_k'" in capsys.readouterr().err
