"""Rehearsal of the GPU script: packed, sent in parts, unpacked and run at toy size as on a bare machine."""

# ruff: noqa: E402
import argparse
import json
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

from packing_world import dataset_rows
from safetensors.torch import load_file
from small_world import make_world, write_pair_tables, write_table
from tiny_models import tiny_model

from benchmarks.gpu import on_a_gpu
from benchmarks.gpu.on_a_gpu import Step, run_apart
from benchmarks.gpu.pack_for_gpu import pack
from benchmarks.gpu.parts import read_parts, write_parts
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.load_model import save_model
from pivot_udfs.load_settings import load_settings

pytestmark = pytest.mark.torch
PRESENT = {
    *("torch", "transformers", "accelerate", "safetensors", "tokenizers", "sentencepiece", "numpy", "pandas", "scipy"),
    *("pyarrow", "numba", "scikit-learn", "matplotlib", "jinja2", "regex", "protobuf", "tqdm", "packaging"),
    *("pydantic", "langcodes"),
}
"""What a bare machine has, and what is packed for it."""


def _absent() -> list[str]:
    """The modules of all other packages that the project depends on."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["gpu"]]
    names = {re.split(r"[<>=\[]", requirement)[0] for requirement in required} - PRESENT
    return sorted({"delta", "fasttext"} | {name.replace("-", "_") for name in names})


def _world(folder: Path) -> ModelSettings:
    """The arms and contrasts of the next experiment, a task, and a tiny model that was converted from a GGUF file."""
    folder.mkdir()
    planned = load_settings("conf/experiment-gpu-own-pivots.toml", [], ModelSettings).experiment
    config = make_world(
        folder,
        model={"gguf_file": "model.gguf"},
        translation={"directions": ["fr-zh"], "with_pivots": True},
        packing={"held_out_share": 0.1},
        training={"sequence_length": 16, "global_batch_tokens": 64, "token_budget": 128, "compile": True},
        tuned_lens={"sequence_length": 8, "n_steps": 2},
        experiment={"contrasts": planned.contrasts, "seeds": [0, 1], "pilot": planned.pilot, "keep_models": False},
    )
    rows = dataset_rows(folder / "tokenizer.json", 60)
    for name in ("documents", *(f"datasets/{arm}" for arm in planned.arms)):
        write_table(folder / "warehouse", name, rows, folder / "tokenizer.json")
    write_pair_tables(folder)
    save_model(tiny_model("smollm", vocabulary=400), folder / "results" / "base")
    return load_settings(str(config), [], ModelSettings)


def _rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.mark.timeout(600)
def test_every_step_runs_on_a_bare_machine_from_the_parts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = pack(_world(tmp_path / "world"), tmp_path / "parcel", 20_000, packages=())
    assert len(parts) > 1
    assert max(path.stat().st_size for path in parts) <= 20_000
    (tmp_path / "world").rename(tmp_path / "gone")
    absent = tmp_path / "absent" / "sitecustomize.py"
    absent.parent.mkdir()
    absent.write_text(f"import sys\nsys.modules.update(dict.fromkeys({_absent()}))\n")
    monkeypatch.setenv("PYTHONPATH", str(absent.parent))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "out"
    arguments = ["--parcel", str(tmp_path / "parcel"), "--out", str(out), "--work", str(tmp_path / "work"), "--toy"]
    failed = on_a_gpu.main([*arguments, "--minutes", "9"])
    log = (out / "log.txt").read_text()[-3000:]
    assert failed == 0, log
    sent = load_file(tmp_path / "work" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in sent.values()} == {torch.bfloat16}
    rows = _rows(out)
    assert [row["step"] for row in rows if row.get("status") == "done"] == [step.name for step in on_a_gpu.STEPS]
    assert all(row.get("passed", True) for row in rows)
    assert [row["skipped"] for row in rows if "skipped" in row] == ["the tables are not here"]
    assert [row["seed"] for row in rows if row["step"] == "experiment" and "seed" in row] == [0, 1, 0, 1]
    found = json.loads((out / "experiment.json").read_text())["contrasts"]
    assert all(row["detectable_by_pilot"] > 0 for contrast in found for row in contrast["effects"].values())
    assert {path.name for path in out.iterdir()} == {
        *("results.jsonl", "log.txt", "profile.txt", "experiment.json", "experiment.md", "lens.safetensors")
    }


def _options(out: Path) -> argparse.Namespace:
    out.mkdir(exist_ok=True)
    return on_a_gpu._parser().parse_args(["--out", str(out), "--work", str(out), "--config", "none"])


def test_a_step_that_hangs_is_stopped_and_its_results_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))
    start = time.monotonic()
    assert not run_apart([Step("slow", "steps_that_fail:hang", 0)], 6, _options(tmp_path))
    assert time.monotonic() - start < 60
    assert [row.get("n") or row["status"] for row in _rows(tmp_path)] == [1, "stopped after 6 seconds"]


def test_a_step_that_fails_or_dies_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))
    for name in ("fail", "die"):
        assert not run_apart([Step(name, f"steps_that_fail:{name}", 0)], 120, _options(tmp_path))
    assert [row["status"] for row in _rows(tmp_path)] == [
        "RuntimeError: no such thing",
        "the process ended with code 3",
    ]
    assert "RuntimeError: no such thing" in (tmp_path / "log.txt").read_text()


def test_a_step_without_time_is_not_started(tmp_path: Path) -> None:
    assert run_apart([Step("late", "no_such_module:nothing", 0)], -1.0, _options(tmp_path))
    assert _rows(tmp_path)[0]["status"] == "no time left"


@pytest.mark.parametrize("damage", ["missing", "short", "altered"])
def test_damaged_parts_are_named(tmp_path: Path, damage: str) -> None:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "bytes").write_bytes(np.random.default_rng(0).bytes(4000))
    parts = write_parts(source, tmp_path / "parts", 1500)
    read_parts(tmp_path / "parts", tmp_path / "whole")
    assert (tmp_path / "whole/inner/bytes").read_bytes() == (source / "inner/bytes").read_bytes()
    raw = parts[1].read_bytes()
    if damage == "missing":
        parts[1].unlink()
    else:
        parts[1].write_bytes(raw[:-1] if damage == "short" else bytes([raw[0] ^ 1]) + raw[1:])
    with pytest.raises(ValueError, match=r"part-001 is missing, cut short or altered: send it again \(1500 bytes\)"):
        read_parts(tmp_path / "parts", tmp_path / "again")
