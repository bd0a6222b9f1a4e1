"""Stopping and resuming: the same bits as an undisturbed run; checkpoints are complete or absent."""

# ruff: noqa: E402
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

from safetensors import safe_open
from stop_after import eager_compiling, stop_after
from tiny_models import tiny_model
from training_world import final_weights, make_training_world, read_log, run_options, run_training, share_packed

from jobs.gpu import pack_dataset
from jobs.gpu.common.files import publish
from jobs.gpu.models.load_model import save_model
from jobs.gpu.training.checkpoints import list_checkpoints

pytestmark = pytest.mark.torch


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    return make_training_world(tmp_path)


def _start(count: int, config: Path, *ways: str) -> None:
    """Runs ``stop_after`` in several processes."""
    for name in (f"{name}-{way}" for way in ways for name in ("stopped", "whole")):
        share_packed(config, name)
    root = Path(__file__).parents[3]
    script = root / "tests" / "helpers" / "stop_after.py"
    command = [sys.executable, str(script), str(count), str(config), str(config.parent), *ways]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root}/tests/helpers", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=170, check=False, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_stopped_and_resumed_run_gives_the_same_bits(config: Path) -> None:
    for stop in (1, 3):
        other = share_packed(config, f"stopped{stop}")
        stop_after(stop, run_options(config, other))
        assert run_training(config, other) == 0
    assert run_training(config) == 0
    whole = final_weights(config.parent / "results")
    for stop in (1, 3):
        assert final_weights(config.parent / f"stopped{stop}") == whole
        log = read_log(config.parent / f"stopped{stop}")
        assert [row["step"] for row in log if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert whole != (config.parent / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("option", ["compile=true", "precision=bfloat16", "gradient_checkpointing=true"])
def test_every_compute_option_resumes_to_the_same_bits(config: Path, option: str) -> None:
    stopped, whole = (share_packed(config, name) for name in ("stopped", "whole"))
    with eager_compiling():
        stop_after(3, run_options(config, stopped, f"training.{option}"))
        assert run_training(config, stopped, f"training.{option}") == 0
        assert run_training(config, whole, f"training.{option}") == 0
    assert final_weights(config.parent / "stopped") == final_weights(config.parent / "whole")
    assert run_training(config) == 0
    changed = final_weights(config.parent / "whole") != final_weights(config.parent / "results")
    assert changed == (option == "precision=bfloat16"), "the run after it is not of its kind"


def test_four_processes_resume_to_the_same_bits(config: Path) -> None:
    """Replicated, and replicated with compiled layers; the losses are those of one process.

    Sums over more than two processes depend on the gradient buckets, which must be the same after resuming.
    """
    ways = ("replicated", "compiled")
    _start(4, config, *ways)
    assert run_training(config) == 0
    alone = [row["loss"] for row in read_log(config.parent / "results") if "loss" in row]
    for way in ways:
        stopped, whole = config.parent / f"stopped-{way}", config.parent / f"whole-{way}"
        assert final_weights(stopped) == final_weights(whole)
        losses = [row["loss"] for row in read_log(stopped) if "loss" in row]
        rounding = 1e-4 if way != "compiled" else 0.02
        assert losses == pytest.approx(alone, rel=rounding), "four processes see the global batch of one"


def test_incomplete_lines_of_the_log_are_removed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop_after(3, run_options(config))
    log = config.parent / "results/runs/pivot-seed0/training.jsonl"
    log.write_text(log.read_text() + '{"step": 2, "translation": {"fr-zh": 0.1}')
    assert run_training(config) == 0
    assert "incomplete lines of the log are removed" in capsys.readouterr().err
    assert [row["step"] for row in read_log(config.parent / "results") if "loss" in row] == [1, 2, 3, 4, 5, 6]


def test_evaluation_and_checkpoint_intervals_may_change(config: Path) -> None:
    stop_after(3, run_options(config))
    changed = ("evaluate_every_steps=0", "checkpoint_every_minutes=0.0", "keep_checkpoints=3", "deterministic=true")
    assert run_training(config, *(f"training.{option}" for option in changed)) == 0
    assert run_training(config, share_packed(config, "other")) == 0
    assert final_weights(config.parent / "results") == final_weights(config.parent / "other")


def test_a_finished_run_is_not_repeated(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_training(config) == 0
    before = (config.parent / "results/runs/pivot-seed0/final/model.safetensors").stat().st_mtime_ns
    assert run_training(config) == 0
    assert "is finished already" in capsys.readouterr().err
    assert (config.parent / "results/runs/pivot-seed0/final/model.safetensors").stat().st_mtime_ns == before


def test_checkpoints_of_another_run_are_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop_after(5, run_options(config))
    assert run_training(config, "training.learning_rate=0.02") == 2
    assert (
        "belongs to another run, made from settings training.learning_rate = 0.01, now 0.02" in capsys.readouterr().err
    )
    save_model(tiny_model("smollm", seed=1, vocabulary=400), config.parent / "other")
    assert run_training(config, f"model.path={config.parent / 'other'}") == 2
    assert "belongs to another run, made from another model/model.safetensors: " in capsys.readouterr().err
    assert pack_dataset.main(run_options(config, "packing.seed=1")) == 0
    assert run_training(config) == 2
    assert "belongs to another run, made from settings packing.seed = 0, now 1" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop_after(5, run_options(config))
    last = list_checkpoints(config.parent / "results/runs/pivot-seed0/checkpoints")[-1]
    assert last.name == "step-00000004"
    raw = (last / "optimizer.safetensors").read_bytes()
    (last / "optimizer.safetensors").write_bytes(raw[:-1])
    assert run_training(config) == 2
    assert f"missing, cut short or altered: delete {last}" in capsys.readouterr().err


def test_a_kill_while_saving_loses_nothing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest checkpoint is incomplete when the process is killed; the one before it is used."""
    from jobs.gpu.training import checkpoints

    write_json, calls = checkpoints.write_json, []

    def die_on_second(path: Path, value: object) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write_json(path, value)

    monkeypatch.setattr(checkpoints, "write_json", die_on_second)
    assert run_training(config) == 130
    folder = config.parent / "results/runs/pivot-seed0/checkpoints"
    assert [path.name for path in list_checkpoints(folder)] == ["step-00000001"]
    monkeypatch.undo()
    assert run_training(config) == 0
    other = share_packed(config, "undisturbed")
    assert run_training(config, other) == 0
    assert final_weights(config.parent / "undisturbed") == final_weights(config.parent / "results")


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    model = tiny_model("smollm", vocabulary=400)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    save_model(model, tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as stored:
        assert sorted(stored.keys()) == sorted(name for name, _ in model.named_parameters())


def test_files_in_inner_folders_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = os.open, []
    monkeypatch.setattr(os, "open", lambda path, *flags: opened.append(Path(path)) or real(path, *flags))

    def write(folder: Path) -> None:
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text("{}")

    publish(tmp_path / "final", write)
    partial = tmp_path / ".partial-final"
    assert {tmp_path, partial, partial / "model", partial / "model" / "config.json"} <= set(opened)
