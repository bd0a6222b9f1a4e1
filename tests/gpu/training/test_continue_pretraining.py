"""Training: exact resuming, atomic checkpoints, and what is refused."""

# ruff: noqa: E402
import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

from packing_world import dataset_rows
from small_world import make_world, write_table
from stop_after import eager_compiling, stop_after
from tiny_models import tiny_model

from jobs.gpu import continue_pretraining, pack_dataset
from jobs.gpu.common.errors import ModelError
from jobs.gpu.common.processes import Processes
from jobs.gpu.common.settings import Training
from jobs.gpu.models.load_model import save_model
from jobs.gpu.packing.packed_file import open_packed, sync_folder
from jobs.gpu.training import held_out_loss
from jobs.gpu.training.checkpoints import list_checkpoints, whole_weights
from jobs.gpu.training.held_out_loss import bits_per_byte
from jobs.gpu.training.model_flops_utilization import flops_per_token, peak_flops
from jobs.gpu.training.token_loss import summed_loss
from jobs.gpu.training.training_loop import Trainer, learning_rate, step_indices
from jobs.gpu.training.training_setup import check_shardable
from pivot_udfs.tokenization.backends import load_tokenizer

pytestmark = pytest.mark.torch
TRAINING: dict[str, Any] = {
    "sequence_length": 16,
    "global_batch_tokens": 64,
    "micro_batch": 2,
    "token_budget": 384,
    "learning_rate": 0.01,
    "checkpoint_every_steps": 2,
    "evaluate_every_steps": 3,
    "keep_checkpoints": 2,
}
ONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    config = make_world(tmp_path, packing={"held_out_share": 0.1}, training=TRAINING)
    for name in ("documents", "datasets/pivot"):
        rows = dataset_rows(tmp_path / "tokenizer.json", 60)
        write_table(tmp_path / "warehouse", name, rows, tmp_path / "tokenizer.json")
    save_model(tiny_model("smollm", vocabulary=400), tmp_path / "model")
    assert pack_dataset.main(["--config", str(config)]) == 0
    return config


def _options(config: Path, *overrides: str) -> list[str]:
    return ["--config", str(config), *(x for o in overrides for x in ("--set", o))]


def _train(config: Path, *overrides: str) -> int:
    return continue_pretraining.main(_options(config, *overrides))


def _start(count: int, config: Path, *ways: str) -> None:
    """Runs ``stop_after`` in several processes."""
    for name in (f"{name}-{way}" for way in ways for name in ("stopped", "whole")):
        _share_packed(config, name)
    root = Path(__file__).parents[3]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [
        sys.executable,
        *launch,
        str(root / "tests" / "helpers" / "stop_after.py"),
        str(config),
        str(config.parent),
        *ways,
    ]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root}/tests/helpers", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=170, check=False, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def _weights(results: Path) -> bytes:
    return (results / "runs" / "pivot-seed0" / "final" / "model.safetensors").read_bytes()


def _share_packed(config: Path, name: str) -> str:
    """Another results folder with the same packed files."""
    other = config.parent / name
    other.mkdir()
    (other / "packed").symlink_to(config.parent / "results" / "packed")
    return f"results.path={other}"


def _log(results: Path) -> list[dict[str, Any]]:
    lines = (results / "runs" / "pivot-seed0" / "training.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_stopped_and_resumed_run_gives_the_same_bits(config: Path) -> None:
    for stop in (1, 3):
        other = _share_packed(config, f"stopped{stop}")
        stop_after(stop, _options(config, other))
        assert _train(config, other) == 0
    assert _train(config) == 0
    whole = _weights(config.parent / "results")
    for stop in (1, 3):
        assert _weights(config.parent / f"stopped{stop}") == whole
        log = _log(config.parent / f"stopped{stop}")
        assert [row["step"] for row in log if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert whole != (config.parent / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("option", ["compile=true", "precision=bfloat16", "gradient_checkpointing=true"])
def test_every_way_to_compute_resumes_to_the_same_bits(config: Path, option: str) -> None:
    stopped, whole = (_share_packed(config, name) for name in ("stopped", "whole"))
    with eager_compiling():
        stop_after(3, _options(config, stopped, f"training.{option}"))
        assert _train(config, stopped, f"training.{option}") == 0
        assert _train(config, whole, f"training.{option}") == 0
    assert _weights(config.parent / "stopped") == _weights(config.parent / "whole")
    assert _train(config) == 0
    changed = _weights(config.parent / "whole") != _weights(config.parent / "results")
    assert changed == (option == "precision=bfloat16"), "the run after it is not of its kind"


def test_compiled_layers_need_no_mask(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flash attention takes no explicit mask; a model compiled whole would make one."""
    real, masks = torch.compile, []

    def backend(graph: Any, _inputs: Any) -> Any:
        attention = [node for node in graph.graph.nodes if "scaled_dot_product" in str(node.target)]
        masks.extend((node.kwargs.get("attn_mask"), node.kwargs.get("is_causal")) for node in attention)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function, **_: real(function, backend=backend))
    assert _train(config, "training.compile=true", "training.token_budget=128") == 0
    torch.compiler.reset()
    assert masks
    assert set(masks) == {(None, True)}


def test_the_loss_in_parts_is_the_whole_loss() -> None:
    torch.manual_seed(0)
    values, targets = torch.randn(2, 11, 7), torch.randint(0, 7, (2, 11))
    targets[0, 3] = -1
    whole, parts = values.clone().requires_grad_(), values.clone().requires_grad_()
    expected = torch.nn.functional.cross_entropy(
        whole.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum"
    )
    found = summed_loss(parts, targets, at_once=2 * 7 * 3)
    expected.backward()
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(whole.grad, parts.grad, atol=1e-6)
    with torch.no_grad():
        assert float(summed_loss(parts, targets, at_once=1)) == pytest.approx(expected.item(), rel=1e-6)


def test_the_loss_in_parts_keeps_few_logits_for_the_backward_pass() -> None:
    kept: list[int] = []

    def keep(tensor: Any) -> Any:
        kept.append(tensor.numel() if tensor.dtype == torch.float32 and tensor.ndim > 1 else 0)
        return tensor

    logits = torch.randn(2, 64, 50, dtype=torch.bfloat16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        summed_loss(logits, torch.zeros(2, 64, dtype=torch.int64), at_once=2 * 50 * 8)
    assert sum(kept) == 0


def test_two_processes_resume_to_the_same_bits(config: Path) -> None:
    """Replicated, sharded, and sharded layers compiled: the same bits resumed as not, and the losses of one process."""
    config.write_text(config.read_text().replace("[training]", "[training]\nevaluate_words = 2"))
    ways = ("replicated", "sharded", "sharded-compiled")
    _start(2, config, *ways)
    assert _train(config) == 0
    alone = [row["loss"] for row in _log(config.parent / "results") if "loss" in row]
    for way in ways:
        stopped, whole = config.parent / f"stopped-{way}", config.parent / f"whole-{way}"
        assert _weights(stopped) == _weights(whole)
        losses = [row["loss"] for row in _log(stopped) if "loss" in row]
        rounding = 1e-4 if way != "sharded-compiled" else 0.02
        assert losses == pytest.approx(alone, rel=rounding), "two processes see the global batch of one"


def test_four_processes_resume_to_the_same_bits(config: Path) -> None:
    """Sums over more than two processes depend on how gradients lie in buckets, which must be as before the stop."""
    _start(4, config, "replicated")
    assert _weights(config.parent / "stopped-replicated") == _weights(config.parent / "whole-replicated")


def test_the_log_has_losses_rates_and_bits_per_byte(config: Path) -> None:
    assert _train(config) == 0
    log = _log(config.parent / "results")
    steps = [row for row in log if "loss" in row]
    assert all(row["tokens_per_s"] > 0 and row["mfu"] is None for row in steps)
    assert steps[-1]["loss"] < steps[0]["loss"]
    evaluations = [row for row in log if "bits_per_byte" in row]
    assert [row["step"] for row in evaluations] == [0, 3, 6]
    assert evaluations[-1]["bits_per_byte"].keys() == {"en", "fr", "zh", "all"}


def test_an_arm_smaller_than_the_budget_says_that_it_repeats(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _train(config, "training.token_budget=4800") == 0
    packed = open_packed(config.parent / "results/packed/pivot")
    epochs = 4800 / 16 / packed.n_sequences(16)
    assert f"budget=4800 epochs={epochs:.2f}" in capsys.readouterr().err
    rows = [row for row in _log(config.parent / "results") if "loss" in row]
    assert rows[-1]["epoch"] == pytest.approx(epochs, abs=1e-5)
    assert _train(config, _share_packed(config, "short")) == 0
    assert "is repeated" not in capsys.readouterr().err


def test_the_base_model_is_measured_once_for_all_runs(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    monkeypatch.setattr(held_out_loss, "_nats", lambda *_: measured.append(1) or 1.0)
    assert _train(config) == 0
    first = len(measured)
    assert _train(config, "training.seed=1") == 0
    assert len(measured) - first == first * 2 / 3, "steps 3 and 6, but not 0"
    logs = [config.parent / f"results/runs/pivot-seed{seed}/training.jsonl" for seed in (0, 1)]
    rows = [json.loads(log.read_text().splitlines()[0]) for log in logs]
    assert rows[0] == rows[1]
    assert rows[0]["bits_per_byte"]["all"] > 0


def test_lines_that_were_cut_short_are_dropped(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop_after(3, _options(config))
    log = config.parent / "results/runs/pivot-seed0/training.jsonl"
    log.write_text(log.read_text() + '{"step": 2, "translation": {"fr-zh": 0.1}')
    assert _train(config) == 0
    assert "cut short are dropped" in capsys.readouterr().err
    assert [row["step"] for row in _log(config.parent / "results") if "loss" in row] == [1, 2, 3, 4, 5, 6]


def test_how_often_to_evaluate_and_save_may_change(config: Path) -> None:
    stop_after(3, _options(config))
    changed = ("evaluate_every_steps=0", "checkpoint_every_steps=1", "keep_checkpoints=3", "deterministic=true")
    assert _train(config, *(f"training.{option}" for option in changed)) == 0
    assert _train(config, _share_packed(config, "other")) == 0
    assert _weights(config.parent / "results") == _weights(config.parent / "other")


def test_deterministic_algorithms_last_as_long_as_the_run(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, gradients = [], Trainer._gradients

    def watched(self: Trainer, step: int) -> Any:
        seen.append(
            torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
        )
        return gradients(self, step)

    monkeypatch.setattr(Trainer, "_gradients", watched)
    assert _train(config, "training.deterministic=true") == 0
    assert seen == [True] * 6
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_task_can_be_scored_while_training_without_changing_it(config: Path) -> None:
    assert _train(config) == 0
    other = _share_packed(config, "checked")
    assert _train(config, other, "training.evaluate_words=3", "translation.directions=['fr-zh']") == 0
    scores = [row for row in _log(config.parent / "checked") if "translation" in row]
    assert [row["step"] for row in scores] == [0, 3, 6]
    assert all(-1 <= row["translation"]["fr-zh"] <= 1 for row in scores)
    assert len({row["translation"]["fr-zh"] for row in scores}) == 3
    assert _weights(config.parent / "checked") == _weights(config.parent / "results")


def test_a_finished_run_is_not_run_again(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _train(config) == 0
    before = (config.parent / "results/runs/pivot-seed0/final/model.safetensors").stat().st_mtime_ns
    assert _train(config) == 0
    assert "is finished already" in capsys.readouterr().err
    assert (config.parent / "results/runs/pivot-seed0/final/model.safetensors").stat().st_mtime_ns == before


def test_checkpoints_of_another_run_are_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop_after(5, _options(config))
    assert _train(config, "training.learning_rate=0.02") == 2
    assert "belongs to another run: training.learning_rate is 0.01 there, 0.02 now" in capsys.readouterr().err
    save_model(tiny_model("smollm", seed=1, vocabulary=400), config.parent / "other")
    assert _train(config, f"model.path={config.parent / 'other'}") == 2
    assert "belongs to another run: model_weights_sha256" in capsys.readouterr().err
    assert pack_dataset.main(_options(config, "packing.seed=1")) == 0
    assert _train(config) == 2
    assert "belongs to another run: packed_from.seed is 0 there, 1 now" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop_after(5, _options(config))
    last = list_checkpoints(config.parent / "results/runs/pivot-seed0/checkpoints")[-1]
    assert last.name == "step-00000004"
    raw = (last / "optimizer.safetensors").read_bytes()
    (last / "optimizer.safetensors").write_bytes(raw[:-1])
    assert _train(config) == 2
    assert f"missing, cut short or altered: delete {last}" in capsys.readouterr().err


def test_a_kill_while_saving_loses_nothing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest files are half written when the process dies: the checkpoint before is still whole."""
    from jobs.gpu.training import checkpoints

    write_json, calls = checkpoints.write_json, []

    def die_on_second(path: Path, value: object) -> None:
        calls.append(path)
        if len(calls) == 4:
            raise KeyboardInterrupt
        write_json(path, value)

    monkeypatch.setattr(checkpoints, "write_json", die_on_second)
    with pytest.raises(KeyboardInterrupt):
        _train(config)
    folder = config.parent / "results/runs/pivot-seed0/checkpoints"
    assert [path.name for path in list_checkpoints(folder)] == ["step-00000002"]
    monkeypatch.undo()
    assert _train(config) == 0
    other = _share_packed(config, "undisturbed")
    assert _train(config, other) == 0
    assert _weights(config.parent / "undisturbed") == _weights(config.parent / "results")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gradients = Trainer._gradients
    monkeypatch.setattr(Trainer, "_gradients", lambda self, k: gradients(self, k) * (math.nan if k == 4 else 1))
    assert _train(config) == 2
    assert "step 5: loss nan" in capsys.readouterr().err
    folder = config.parent / "results/runs/pivot-seed0/checkpoints"
    assert list_checkpoints(folder)[-1].name == "step-00000004"


def test_too_little_memory_halves_the_micro_batch_and_keeps_the_result(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(config, "training.micro_batch=1", _share_packed(config, "small")) == 0
    backward = Trainer._backward

    def limited(self: Trainer, batch: Any, n_tokens: int) -> Any:
        if len(batch) > 1:
            raise torch.OutOfMemoryError("full")
        return backward(self, batch, n_tokens)

    monkeypatch.setattr(Trainer, "_backward", limited)
    assert _train(config) == 0
    assert capsys.readouterr().err.count("half the micro batch micro_batch=1") == 1
    assert _weights(config.parent / "results") == _weights(config.parent / "small")
    assert _train(config, "training.micro_batch=4", _share_packed(config, "never")) == 2
    assert "lower it (the global batch stays)" in capsys.readouterr().err


def test_held_out_documents_may_not_be_trained_on(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = config.parent / "results/packed/pivot/manifest.json"
    manifest.write_text(manifest.read_text().replace('"held_out_share": 0.1', '"held_out_share": 0.05'))
    assert _train(config) == 2
    assert "training would see held-out documents" in capsys.readouterr().err


def test_bits_per_byte_are_the_definitions(config: Path) -> None:
    packed = open_packed(config.parent / "results/packed/held_out")
    model = tiny_model("smollm", vocabulary=400)
    got = bits_per_byte(model, packed, 16, 3, ONE)
    about = packed.manifest["languages"]["fr"]
    first = about["first_document"]
    start, end = packed.boundaries[first], packed.boundaries[first + about["n_documents"]]
    ids, total = [0, *packed.tokens[start:end].tolist()], 0.0
    with torch.no_grad():
        for place in range(1, len(ids)):
            window = (place - 1) // 16 * 16
            if ids[place] != 0:
                logits = model(torch.tensor([ids[window:place]])).logits[0, -1]
                total -= float(logits.log_softmax(-1)[ids[place]])
    assert got["fr"] == pytest.approx(total / math.log(2) / about["n_bytes"], rel=1e-4)


def test_every_sequence_is_seen_once_an_epoch() -> None:
    seen = np.concatenate([step_indices(step, 4, 10, seed=3) for step in range(5)])
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])
    assert list(step_indices(0, 4, 10, 3)) != list(step_indices(0, 4, 10, 4))


def test_an_epoch_is_shuffled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, drawn = np.random.default_rng, []
    monkeypatch.setattr(np.random, "default_rng", lambda seed: drawn.append(seed) or real(seed))
    for step in range(5):
        step_indices(step, 4, 10, seed=12345)
    assert drawn == [[12345, 0], [12345, 1]]


def test_the_learning_rate_warms_up_and_decays() -> None:
    options = Training(learning_rate=1.0, warmup_share=0.1, final_learning_rate_share=0.1, decay="linear")
    rates = [learning_rate(step, 100, options) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[10] == max(rates) == 1.0
    assert rates[55] == pytest.approx(0.55)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    cosine = Training(learning_rate=1.0, warmup_share=0.0, final_learning_rate_share=0.0)
    assert learning_rate(50, 100, cosine) == pytest.approx(0.5)


def test_flops_follow_the_formula() -> None:
    model = tiny_model("smollm", vocabulary=400)
    weights = sum(weight.numel() for weight in model.parameters())
    assert flops_per_token(model, 16) == 6 * weights + 12 * 3 * 32 * 16
    untied = tiny_model("llama", vocabulary=400)
    weights = sum(weight.numel() for weight in untied.parameters()) - 400 * 32
    assert flops_per_token(untied, 16) == 6 * weights + 12 * 3 * 32 * 16


def test_tied_weights_are_saved_once() -> None:
    """From a GPU each name comes as a copy of its own, and none would be seen to be another's."""
    model = tiny_model("smollm", vocabulary=400)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    kept = whole_weights(model)
    assert sorted(kept) == sorted(name for name, _ in model.named_parameters())
    assert sum(weight.numel() for weight in kept.values()) == sum(weight.numel() for weight in model.parameters())


def test_the_device_is_the_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {"NVIDIA L4": 121e12, "NVIDIA L40": 181e12, "NVIDIA L40S": 362e12, "NVIDIA A100-SXM4-80GB": 312e12}
    for name, peak in peaks.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device, name=name: name)
        assert peak_flops(torch.device("cuda")) == peak


def test_names_in_inner_folders_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    real, opened = os.open, []
    monkeypatch.setattr(os, "open", lambda path, *flags: opened.append(Path(path)) or real(path, *flags))
    sync_folder(tmp_path)
    assert set(opened) == {tmp_path, tmp_path / "model", tmp_path / "model" / "config.json"}


def test_a_model_with_more_than_weights_is_not_sharded() -> None:
    model = tiny_model("smollm")
    check_shardable(model)
    model.model.register_buffer("scale", torch.ones(1))
    with pytest.raises(ModelError, match=r"keeps model\.scale beside its weights"):
        check_shardable(model)


def test_a_batch_of_broken_sequences_is_no_batch() -> None:
    with pytest.raises(ValueError, match="is not a multiple of sequence_length"):
        Training(sequence_length=100, global_batch_tokens=250)


def test_the_final_model_is_like_any_other(config: Path) -> None:
    from jobs.gpu.common.settings import Model
    from jobs.gpu.models.load_model import check_vocabulary, load_model

    assert _train(config) == 0
    path = str(config.parent / "results/runs/pivot-seed0/final")
    model = load_model(Model(path=path, device="cpu"))
    check_vocabulary(Model(path=path), model, load_tokenizer(str(config.parent / "tokenizer.json")))
