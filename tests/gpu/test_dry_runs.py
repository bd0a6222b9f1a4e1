"""Dry runs of the model side check settings in under two seconds: they import no library of models or statistics."""

import subprocess
import sys
from pathlib import Path

from jobs.commands.main import MODEL_JOBS

ROOT = Path(__file__).parents[2]
MODULES = sorted({job.module for job in MODEL_JOBS.values()})
DRY_RUNS = """
import importlib, sys
for name in sys.argv[1:]:
    assert importlib.import_module(name).main(["--config", "conf/demo-model.toml", "--dry-run"]) == 0, name
# The bare package scipy, 2 ms, is imported by numba, which checks its version.
loaded = {"torch", "transformers", "accelerate", "sklearn", "scipy.sparse", "scipy.stats", "scipy.optimize"}
sys.exit(", ".join(sorted(loaded & sys.modules.keys())) or 0)
"""


def test_every_job_of_the_model_side_is_a_command() -> None:
    files = sorted(path.stem for path in (ROOT / "jobs" / "gpu").glob("*.py") if path.stem != "__init__")
    assert [f"jobs.gpu.{name}" for name in files] == MODULES


def test_dry_runs_import_neither_torch_nor_transformers_nor_scipy() -> None:
    command = [sys.executable, "-c", DRY_RUNS, *MODULES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.count("[model]") == len(MODULES)
