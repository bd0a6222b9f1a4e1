"""What the tests of training share: a small world with a packed arm and a tiny model, and its results."""

import json
from pathlib import Path
from typing import Any

from packing_world import dataset_rows
from small_world import make_world, write_pair_tables, write_table
from tiny_models import tiny_model

from jobs.gpu import continue_pretraining, pack_dataset
from jobs.gpu.models.load_model import save_model

TRAINING: dict[str, Any] = {
    "sequence_length": 16,
    "global_batch_tokens": 64,
    "micro_batch": 2,
    "token_budget": 384,
    "learning_rate": 0.01,
    "checkpoint_every_minutes": 1e-9,
    "evaluate_every_steps": 3,
    "keep_checkpoints": 2,
}


def make_training_world(tmp_path: Path) -> Path:
    """Packs ``datasets/pivot`` and ``documents``; returns the path of the configuration."""
    config = make_world(tmp_path, packing={"held_out_share": 0.1}, training=TRAINING)
    for name in ("documents", "datasets/pivot"):
        rows = dataset_rows(tmp_path / "tokenizer.json", 60)
        write_table(tmp_path / "warehouse", name, rows, tmp_path / "tokenizer.json")
    save_model(tiny_model("smollm", vocabulary=400), tmp_path / "model")
    assert pack_dataset.main(["--config", str(config)]) == 0
    return config


def make_traced_world(folder: Path) -> Path:
    """The same, with the tables of pairs that traces read."""
    config = make_training_world(folder)
    write_pair_tables(folder)
    return config


def run_options(config: Path, *overrides: str) -> list[str]:
    """Command-line arguments with overrides."""
    return ["--config", str(config), *(x for o in overrides for x in ("--set", o))]


def run_training(config: Path, *overrides: str) -> int:
    """The exit code of a training run."""
    return continue_pretraining.main(run_options(config, *overrides))


def final_weights(results: Path) -> bytes:
    """The bytes of the final weights."""
    return (results / "runs" / "pivot-seed0" / "final" / "model.safetensors").read_bytes()


def share_packed(config: Path, name: str) -> str:
    """Another results folder with the same packed files."""
    other = config.parent / name
    other.mkdir()
    (other / "packed").symlink_to(config.parent / "results" / "packed")
    return f"results.path={other}"


def read_log(results: Path) -> list[dict[str, Any]]:
    """The rows of a run's log."""
    lines = (results / "runs" / "pivot-seed0" / "training.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
