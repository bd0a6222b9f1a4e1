"""Training runs: log, evaluation, memory, and what is refused."""

# ruff: noqa: E402
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

from tiny_models import tiny_model
from training_world import final_weights, make_training_world, read_log, run_options, run_training, share_packed

from jobs.gpu import continue_pretraining, pack_dataset
from jobs.gpu.common.processes import started_accelerator
from jobs.gpu.common.settings import Training
from jobs.gpu.packing.packed_file import open_packed
from jobs.gpu.training.checkpoints import list_checkpoints
from jobs.gpu.training.held_out_loss import bits_per_byte
from jobs.gpu.training.training_loop import Trainer
from pivot_udfs.tokenization.backends import load_tokenizer

pytestmark = pytest.mark.torch


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    return make_training_world(tmp_path)


def test_compiled_layers_need_no_mask(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flash attention takes no explicit mask; a model compiled whole would make one."""
    real, masks = torch.compile, []

    def backend(graph: Any, _inputs: Any) -> Any:
        attention = [node for node in graph.graph.nodes if "scaled_dot_product" in str(node.target)]
        masks.extend((node.kwargs.get("attn_mask"), node.kwargs.get("is_causal")) for node in attention)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, **_: real(function, backend=backend))
    assert run_training(config, "training.compile=true", "training.token_budget=128") == 0
    torch.compiler.reset()
    assert masks
    assert set(masks) == {(None, True)}


def test_the_log_has_losses_rates_and_bits_per_byte(config: Path) -> None:
    assert run_training(config) == 0
    log = read_log(config.parent / "results")
    steps = [row for row in log if "loss" in row]
    assert all(row["tokens_per_s"] > 0 and row["mfu"] is None for row in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]
    evaluations = [row for row in log if "bits_per_byte" in row]
    assert [row["step"] for row in evaluations] == [0, 3, 6]
    assert evaluations[-1]["bits_per_byte"].keys() == {"en", "fr", "zh", "all"}


def test_json_logs_have_no_progress_bars(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for job in (pack_dataset, continue_pretraining):
        assert job.main([*run_options(config), "--log-format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["job"] for line in lines} == {"pack_dataset", "continue_pretraining"}


def test_repeating_a_small_arm_gives_a_warning(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_training(config, "training.token_budget=4800") == 0
    packed = open_packed(config.parent / "results/packed/pivot")
    epochs = 4800 / 16 / packed.n_sequences(16)
    assert f"budget=4800 epochs={epochs:.2f}" in capsys.readouterr().err
    rows = [row for row in read_log(config.parent / "results") if "loss" in row]
    assert rows[-1]["epoch"] == pytest.approx(epochs, abs=1e-5)
    assert run_training(config, share_packed(config, "short")) == 0
    assert "is repeated" not in capsys.readouterr().err


def test_deterministic_algorithms_last_as_long_as_the_run(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, gradients = [], Trainer._gradients

    def watched(self: Trainer, step: int) -> Any:
        seen.append(
            torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
        )
        return gradients(self, step)

    monkeypatch.setattr(Trainer, "_gradients", watched)
    assert run_training(config, "training.deterministic=true") == 0
    assert seen == [True] * 6
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gradients = Trainer._gradients
    monkeypatch.setattr(Trainer, "_gradients", lambda self, k: gradients(self, k) * (math.nan if k == 4 else 1))
    assert run_training(config) == 2
    assert "step 5: loss nan" in capsys.readouterr().err
    folder = config.parent / "results/runs/pivot-seed0/checkpoints"
    assert list_checkpoints(folder)[-1].name == "step-00000004"


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_result(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_training(config, "training.micro_batch=1", share_packed(config, "small")) == 0
    backward = Trainer._backward

    def limited(self: Trainer, batch: Any, n_tokens: int) -> Any:
        if len(batch) > 1:
            raise torch.OutOfMemoryError("full")
        return backward(self, batch, n_tokens)

    monkeypatch.setattr(Trainer, "_backward", limited)
    assert run_training(config) == 0
    assert capsys.readouterr().err.count("half the micro batch micro_batch=1") == 1
    assert final_weights(config.parent / "results") == final_weights(config.parent / "small")
    assert run_training(config, "training.micro_batch=4", share_packed(config, "never")) == 2
    assert "lower it (the global batch stays the same)" in capsys.readouterr().err


def test_training_on_held_out_documents_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = config.parent / "results/packed/pivot/manifest.json"
    manifest.write_text(manifest.read_text().replace('"packing.held_out_share": 0.1', '"packing.held_out_share": 0.05'))
    assert run_training(config) == 2
    assert "training would see held-out documents" in capsys.readouterr().err


@pytest.mark.parametrize("start_id", [None, 7])
def test_bits_per_byte_equal_the_definition(config: Path, start_id: int | None) -> None:
    packed = replace(open_packed(config.parent / "results/packed/held_out"), start_id=start_id)
    model = tiny_model("smollm", vocabulary=400)
    with started_accelerator(torch.device("cpu"), Training()) as accelerator:
        got = bits_per_byte(model, packed, 16, 3, accelerator)
    languages = packed.manifest["languages"]
    about, start = languages["fr"], languages["en"]["n_tokens"]
    ids, total = [0, *packed.tokens[start : start + about["n_tokens"]].tolist()], 0.0
    with torch.no_grad():
        for place in range(1, len(ids)):
            window = (place - 1) // 16 * 16
            if ids[place] != 0:
                begin = ids[window] if start_id is None else start_id
                logits = model(torch.tensor([[begin, *ids[window + 1 : place]]])).logits[0, -1]
                total -= float(logits.log_softmax(-1)[ids[place]])
    assert got["fr"] == pytest.approx(total / math.log(2) / about["n_bytes"], rel=1e-4)


def test_every_sequence_begins_with_the_start_token(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = open_packed(config.parent / "results/packed/pivot")
    plain, started = (replace(packed, start_id=start).sequences(np.array([0, 2]), 16) for start in (None, 5))
    assert started[:, 0].tolist() == [5, 5]
    assert np.array_equal(started[:, 1:], plain[:, 1:])
    assert run_training(config, "training.start_token='<|endoftext|>'") == 0
    assert run_training(config, "training.start_token='<s>'") == 2
    assert "training.start_token = '<s>' is not a special token of the tokenizer" in capsys.readouterr().err


def test_the_final_model_can_be_loaded(config: Path) -> None:
    from jobs.gpu.common.settings import Model
    from jobs.gpu.models.load_model import load_model
    from jobs.gpu.models.vocabulary_check import check_vocabulary

    assert run_training(config) == 0
    path = str(config.parent / "results/runs/pivot-seed0/final")
    model = load_model(Model(path=path, device="cpu"))
    check_vocabulary(Model(path=path), model, load_tokenizer(str(config.parent / "tokenizer.json")))
