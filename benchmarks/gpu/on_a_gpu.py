"""Checks, measures and runs the experiment of the model side on a GPU, in one go of a few minutes.

    python -m benchmarks.gpu.on_a_gpu --parcel out/parcel --out out/on_a_gpu [--minutes 9] [--steps training,profile]
    python -m benchmarks.gpu.on_a_gpu --config conf/demo-model.toml --out out/on_a_gpu

``--parcel``: the parts that ``pack_for_gpu`` wrote; ``--config``: a configuration on a machine that has everything.
Each step runs in a process of its own for a limited time, the most valuable first, so that a crash or a hang costs one
step; ``--together`` runs all in one process, which loads the libraries once. A part of the time is kept for the
experiment. Under ``--out``: ``results.jsonl``, a line per result as it comes, ``log.txt``, ``profile.txt``,
``experiment.json``, ``experiment.md`` and ``lens.safetensors``. ``--toy`` runs everything in one process at toy size on
a CPU.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import read_parts

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Step:
    """One step: its name, ``module:function`` (given a ``Context``, yields rows), and the most seconds it may take."""

    name: str
    target: str
    seconds: float


STEPS = (
    Step("imports", "benchmarks.gpu.job_steps:check_imports", 60),
    Step("training", "benchmarks.gpu.training_steps:check_training", 120),
    Step("resume", "benchmarks.gpu.job_steps:check_resume", 150),
    Step("memory", "benchmarks.gpu.training_steps:check_memory", 40),
    Step("traces", "benchmarks.gpu.translation_steps:check_traces", 40),
    Step("reuse", "benchmarks.gpu.translation_steps:check_reuse", 40),
    Step("variants", "benchmarks.gpu.training_steps:measure_variants", 150),
    Step("task", "benchmarks.gpu.translation_steps:measure_task", 40),
    Step("trace", "benchmarks.gpu.translation_steps:measure_trace", 60),
    Step("profile", "benchmarks.gpu.training_steps:profile", 60),
    Step("packing", "benchmarks.gpu.translation_steps:measure_packing", 60),
    Step("lens", "benchmarks.gpu.translation_steps:train_lens", 90),
    Step("pilot", "benchmarks.gpu.job_steps:choose_learning_rate", 120),
    Step("experiment", "benchmarks.gpu.job_steps:run_experiment", float("inf")),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the steps and prints the results; returns the number of processes that failed."""
    options = _parser().parse_args(argv)
    if options.run:
        return run_here(options)
    options.out.mkdir(parents=True, exist_ok=True)
    begin, site = time.monotonic(), ""
    if options.parcel:
        read_parts(options.parcel, options.work)
        options.config, site = options.work / "run.toml", str(options.work / "site")
    names = options.steps.split(",") if options.steps else [step.name for step in STEPS]
    chosen = [step for step in STEPS if step.name in names]
    kept = 60 * options.experiment_minutes if "experiment" in names else 0.0
    failed = 0
    for steps in [chosen] if options.toy or options.together else [[step] for step in chosen]:
        left = 60 * options.minutes - (time.monotonic() - begin) - (0 if steps[-1].name == "experiment" else kept)
        failed += not run_apart(steps, min(left, sum(step.seconds for step in steps)), options, site)
    print((options.out / "results.jsonl").read_text(encoding="utf-8"))
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parcel", type=_absolute, help="folder of the parts")
    parser.add_argument("--config", type=_absolute, default=_absolute("conf/demo-model.toml"))
    parser.add_argument("--out", type=_absolute, required=True, help="folder of the results")
    parser.add_argument("--work", type=_absolute, default=_absolute("out/on_a_gpu_work"), help="folder for the rest")
    parser.add_argument("--minutes", type=float, default=9.0, help="time of all steps")
    parser.add_argument("--experiment-minutes", type=float, default=4.0, help="time kept for the experiment")
    parser.add_argument("--steps", default="", help="names of steps, separated by commas; all unless given")
    parser.add_argument("--together", action="store_true", help="run all steps in one process")
    parser.add_argument("--toy", action="store_true", help="toy sizes, on a CPU")
    parser.add_argument("--run", nargs="+", metavar="NAME=MODULE:FUNCTION", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help=argparse.SUPPRESS)
    return parser


def _absolute(text: str) -> Path:
    return Path(text).absolute()


def run_apart(steps: Sequence[Step], seconds: float, options: argparse.Namespace, site: str = "") -> bool:
    """Runs steps in a process of their own; returns whether all of them were done, or none was begun for want of time.

    Args:
        steps: run one after the other.
        seconds: after which the process is killed.
        options: of the command line.
        site: a folder of packages that this machine lacks.
    """
    names = ", ".join(step.name for step in steps)
    if seconds <= 0:
        record(options.out, names, {"status": "no time left"})
        return True
    command = [sys.executable, "-m", "benchmarks.gpu.on_a_gpu", "--out", str(options.out), "--work", str(options.work)]
    command += ["--config", str(options.config), "--seconds", str(seconds), *(["--toy"] if options.toy else [])]
    command += ["--run", *(f"{step.name}={step.target}" for step in steps)]
    path = os.pathsep.join(part for part in (os.environ.get("PYTHONPATH", ""), str(ROOT), site) if part)
    environment = os.environ | {"PYTHONPATH": path, "TQDM_DISABLE": "1"}
    folder = options.work if options.parcel else None
    with (options.out / "log.txt").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            record(options.out, names, {"status": f"stopped after {seconds:.0f} seconds"})
            return False
        finally:
            _kill(process)
    if code not in (0, 1):
        record(options.out, names, {"status": f"the process ended with code {code}"})
    return code == 0


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process and those that compile for it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_here(options: argparse.Namespace) -> int:
    """Runs steps in this process; rows are recorded as they come. 1 where a step failed or a check has not passed."""
    from benchmarks.gpu.context import Context, SkippedError, compile_quickly

    if options.toy:
        compile_quickly()
    context = Context(options.config, options.out, options.work, options.seconds, options.toy)
    failed = False
    for name, target in (text.split("=", 1) for text in options.run):
        print(f"== {name}", flush=True)
        start, status = time.monotonic(), "done"
        module, function = target.split(":")
        try:
            for row in getattr(import_module(module), function)(context):
                record(options.out, name, row)
                status = "done" if row.get("passed", True) else "not passed"
        except SkippedError as reason:
            record(options.out, name, {"skipped": str(reason)})
        except Exception as error:  # recorded, with the traceback in the log
            traceback.print_exc()
            status = f"{type(error).__name__}: {error}"
        failed = failed or status != "done"
        record(options.out, name, {"status": status, "seconds": round(time.monotonic() - start, 1)})
    return int(failed)


def record(out: Path, step: str, row: dict[str, Any]) -> None:
    """Appends a result to ``results.jsonl``."""
    line = {"step": step, "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}", **row}
    with (out / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
