"""Dry runs of the model side look at all that a job reads, write nothing, and import no library of models."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

from packing_world import dataset_rows, run_packing
from small_world import make_world, write_pair_tables, write_table

from jobs.commands.main import MODEL_JOBS
from jobs.gpu import build_translation_task
from jobs.gpu.common.files import write_provenance
from pivot_udfs.provenance import Provenance

ROOT = Path(__file__).parents[2]
MODULES = sorted({job.module for job in MODEL_JOBS.values()})
DRY_RUNS = """
import importlib, sys
config, *names = sys.argv[1:]
for name in names:
    assert importlib.import_module(name).main(["--config", config, "--dry-run"]) == 0, name
# The bare package scipy, 2 ms, is imported by numba, which checks its version.
loaded = {"torch", "transformers", "accelerate", "sklearn", "scipy.sparse", "scipy.stats", "scipy.optimize"}
sys.exit(", ".join(sorted(loaded & sys.modules.keys())) or 0)
"""
SETTINGS: dict[str, dict[str, Any]] = {
    "packing": {"held_out_share": 0.2},
    "experiment": {"contrasts": ["pivot-random"], "pilot": "{folder}/pilot.json"},
    "sweep": {"revisions": ["{folder}/model"]},
    "trace": {"lens": "tuned"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the jobs read; its results lie in ``results``, those of the demo would in ``demo``."""
    folder = tmp_path_factory.mktemp("world")
    sections = json.loads(json.dumps(SETTINGS).replace("{folder}", str(folder)))
    config = make_world(folder, **sections)
    rows = dataset_rows(folder / "tokenizer.json")
    for name in ("documents", "datasets/pivot", "datasets/random"):
        write_table(folder / "warehouse", name, rows, folder / "tokenizer.json")
    write_pair_tables(folder)
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}", encoding="utf-8")
    (folder / "pilot.json").write_text('{"contrasts": {}}', encoding="utf-8")
    assert run_packing(config) == build_translation_task.main(["--config", str(config)]) == 0
    for name in ("traces", "scores", "tuned_lens"):
        (folder / "results" / name).mkdir()
        write_provenance(folder / "results" / name, Provenance(name, 1))
    (folder / "results" / "tuned_lens" / "params.safetensors").touch()
    (folder / "results" / "scores.json").write_text('{"en-fr": {}}', encoding="utf-8")
    return config


def test_every_job_of_the_model_side_is_a_command() -> None:
    files = sorted(path.stem for path in (ROOT / "jobs" / "gpu").glob("*.py") if path.stem != "__init__")
    assert [f"jobs.gpu.{name}" for name in files] == MODULES


def test_dry_runs_need_neither_torch_nor_transformers_nor_scipy_and_write_nothing(world: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.parent.rglob("*")}
    jobs = [name for name in MODULES if name != "jobs.gpu.demo_model"]  # it does not replace results of others
    command = [sys.executable, "-c", DRY_RUNS, str(world), *jobs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.count("[model]") == len(jobs)
    assert {path: path.stat().st_mtime_ns for path in world.parent.rglob("*")} == before


TABLES = ["warehouse.path={folder}/nowhere"]
MODEL = ["model.path={folder}/nowhere"]
FRESH = ["results.path={folder}/fresh"]
FAULTS = [
    ("convert_model", MODEL, "nowhere is not a folder"),
    ("convert_model", ["tokenizer.path={folder}/nowhere.json"], "nowhere.json cannot be read"),
    ("build_translation_task", ["lexicon.path={folder}/nowhere.tsv"], "nowhere.tsv"),
    ("build_translation_task", ["translation.with_pivots=true", *TABLES], "there is no table pair_pivots"),
    ("evaluate_translation", MODEL, "nowhere is not a folder"),
    ("evaluate_translation", [*FRESH, "lexicon.path={folder}/nowhere.tsv"], "nowhere.tsv"),
    ("evaluate_translation", ["translation.seed=7"], "task.jsonl was made from"),
    ("trace_layers", TABLES, "there is no table pair_pivots"),
    ("trace_layers", [*FRESH], "fresh/tuned_lens holds no tuned lens"),
    ("trace_layers", ["results.path={folder}/pilot.json"], "pilot.json is a file, a folder is needed"),
    ("train_tuned_lens", [*FRESH, *TABLES], "there is no table documents"),
    ("sweep_revisions", ["sweep.revisions=[]"], "sweep.revisions is empty"),
    ("sweep_revisions", ["sweep.revisions=['{folder}/nowhere']"], "nowhere is no folder"),
    ("sweep_revisions", ["sweep.revisions=['{folder}/results']"], "results: no config.json in it"),
    ("explain_behaviour", FRESH, "fresh/traces has no results with provenance"),
    ("explain_behaviour", TABLES, "there is no table word_cooccurrence"),
    ("pack_dataset", ["packing.arm=matched"], "there is no table datasets/matched"),
    ("continue_pretraining", ["packing.arm=matched"], "packed/matched has no manifest.json: run "),
    ("run_experiment", ["experiment.contrasts=['pivot-matched']"], "there is no table datasets/matched"),
    ("run_experiment", ["experiment.pack=false"], "packed/random has no manifest.json"),
    ("run_experiment", ["experiment.pilot={folder}/nowhere.json"], "nowhere.json is no readable experiment.json"),
    ("run_experiment", ["experiment.pilot=/dev/zero"], "/dev/zero is no readable experiment.json"),
    ("run_experiment", MODEL, "nowhere is not a folder"),
    ("write_model_report", FRESH, "fresh holds no results"),
    ("demo_model", [], "the demo did not write them and would replace them"),
    ("demo_model", [*FRESH, *TABLES], "there is no table"),
]


@pytest.mark.parametrize(("job", "overrides", "message"), FAULTS)
def test_what_is_missing_is_an_error_of_the_dry_run(
    world: Path, capsys: pytest.CaptureFixture[str], job: str, overrides: list[str], message: str
) -> None:
    options = [option for one in overrides for option in ("--set", one.replace("{folder}", str(world.parent)))]
    assert importlib.import_module(f"jobs.gpu.{job}").main(["--config", str(world), "--dry-run", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (world.parent / "fresh").exists()


def test_a_dry_run_names_what_is_read(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module("jobs.gpu.demo_model").main
    options = ["--set", f"results.path={world.parent}/fresh", "--set", "model.path=allenai/OLMo-1B-hf"]
    assert main(["--config", str(world), "--dry-run", *options]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("reads ")]
    assert "reads model allenai/OLMo-1B-hf from the hub, as there is no such folder; not looked for yet" in lines
    assert f"reads table {world.parent}/warehouse/datasets/random, version 0" in lines


def test_checkpoints_of_a_model_that_was_a_gguf_file_are_swept(world: Path) -> None:
    options = ["--dry-run", "--set", "model.gguf_file=model.gguf"]
    assert importlib.import_module("jobs.gpu.sweep_revisions").main(["--config", str(world), *options]) == 0
