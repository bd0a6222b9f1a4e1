"""Runs all jobs of the model side on a CPU, on the tables of ``make demo``, with a small real model.

    python -m jobs.gpu.demo_model --config conf/demo-model.toml

Saves the base model as safetensors, builds and scores the task, traces, explains, trains two arms for a few thousand
tokens, and writes the report.
"""

import shutil
from functools import partial
from pathlib import Path

from jobs.framework.log_lines import say
from jobs.gpu.build_translation_task import build
from jobs.gpu.build_translation_task import check as check_build
from jobs.gpu.common.check_inputs import check_model, check_tables, run_checked
from jobs.gpu.common.files import results_path, write_json
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.convert_model import convert
from jobs.gpu.evaluate_translation import evaluate
from jobs.gpu.explain_behaviour import TABLES, explain
from jobs.gpu.run_experiment import run
from jobs.gpu.trace_layers import trace
from jobs.gpu.write_model_report import write_report
from pivot_udfs.errors import WarehouseError

WRITTEN = (
    "task.jsonl", "model.json", "scores", "scores.parquet", "scores.json", "traces", "explained_pairs.parquet",
    "explanation.json", "packed", "runs", "experiment.json", "experiment.md", "model_report.html", ".partial-base",
)  # fmt: skip
"""Files of the jobs under ``results.path``, except the base model, which is kept."""
MARKER = "made_by_demo_model.json"


def demo(settings: ModelSettings) -> None:
    """Runs every job of the model side in turn."""
    base = results_path(settings, "base")
    start_anew(base.parent)
    if not (base / "config.json").is_file():
        convert(settings)
    model = settings.model.model_copy(update={"path": str(base), "gguf_file": ""})
    settings = settings.model_copy(update={"model": model})
    for name, step in (("task", build), ("scores", evaluate), ("trace", trace), ("explanation", explain)):
        say(f"demo: {name}")
        step(settings)
    say("demo: experiment")
    run(settings)
    write_report(settings)


def start_anew(folder: Path) -> None:
    """Deletes the results of an earlier demo, since the tables may be newer.

    Raises WarehouseError where the folder holds results that the demo did not write.
    """
    found = _replaced(folder)
    write_json(folder / MARKER, {"job": "jobs.gpu.demo_model", "replaced_by_the_next_demo": list(WRITTEN)})
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _replaced(folder: Path) -> list[Path]:
    """The results in a folder; raises WarehouseError where the demo did not write them."""
    found = [folder / name for name in WRITTEN if (folder / name).exists()]
    if found and not (folder / MARKER).is_file():
        names = ", ".join(path.name for path in found)
        raise WarehouseError(
            f"{folder} holds {names}, but no {MARKER}: the demo did not write them and would replace them; set another "
            "results.path, or delete them"
        )
    return found


def check(settings: ModelSettings) -> list[str]:
    """What the jobs read that none of them writes."""
    _replaced(Path(settings.results.path))
    datasets = [f"datasets/{arm}" for arm in settings.experiment.arms]
    tables = check_tables(settings, *datasets, "documents", with_lexicon=False)
    return [*check_build(settings), *check_tables(settings, *TABLES), *tables, *check_model(settings.model)]


main = partial(run_checked, "demo_model", __doc__, demo, check)


if __name__ == "__main__":
    raise SystemExit(main())
