"""Traces several revisions of one model (training steps) on one task: how pivots arise. An interrupted run is resumed.

    python -m jobs.gpu.sweep_revisions --config conf/olmo-1b.toml
    --set 'sweep.revisions=["step1000-tokens4B", "step10000-tokens41B"]' [--dry-run]

A revision is one of ``model.path`` on the hub, or a folder: of a saved model, or of a checkpoint of
``continue_pretraining``. Writes ``<results.path>/sweep/<revision>/traces/``, ``sweep.parquet`` (one row per revision,
word and direction) and ``sweep.json`` (the curve that the report draws).
"""

import re
import shutil
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.framework.log_lines import say
from jobs.gpu.build_translation_task import load_task
from jobs.gpu.common.check_inputs import run_checked
from jobs.gpu.common.files import results_path, write_json
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.model_files import resolve_path
from jobs.gpu.trace_layers import check as check_traces
from jobs.gpu.trace_layers import trace
from pivot_udfs.errors import ConfigError


def sweep(settings: ModelSettings) -> None:
    """Traces every revision and writes the table and the curve."""
    from jobs.gpu.analysis.revision_curve import revision_curve, revision_rows

    task, tables = load_task(settings), []
    for revision, mine in _of_each(settings).items():
        say("revision", name=revision)
        Path(mine.results.path).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(results_path(settings, "task.jsonl"), results_path(mine, "task.jsonl"))
        trace(mine)
        parts = [pq.read_table(results_path(mine, "traces", f"{name}.parquet")) for name in task.examples]
        tables.append(revision_rows(revision, pa.concat_tables(parts)))
    table = pa.concat_tables(tables)
    pq.write_table(table, results_path(settings, "sweep.parquet"), compression="zstd")
    curve = revision_curve(table, settings.translation.n_resamples, settings.translation.seed)
    write_json(results_path(settings, "sweep.json"), {"revisions": curve})
    for row in curve:
        shares = {name: f"{row[name]['mean']:.4f}" for name in ("pivot", "control")}
        say(f"revision {row['revision']}", words=row["n_words"], **shares)


def _of_each(settings: ModelSettings) -> dict[str, ModelSettings]:
    """The settings of every revision; raises ConfigError where there are none, or as ``of_revision``."""
    if not settings.sweep.revisions:
        raise ConfigError("sweep.revisions is empty: list revisions of model.path, or folders of checkpoints")
    return {revision: of_revision(settings, revision) for revision in settings.sweep.revisions}


def of_revision(settings: ModelSettings, revision: str) -> ModelSettings:
    """The settings of one revision: its model, and a folder of its own for the results.

    Raises ConfigError where it is no folder, and ``model.path`` is one, which has no revisions.
    """
    folder = Path(revision)
    if (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    if not folder.is_dir() and Path(resolve_path(settings.model.path)).is_dir():
        raise ConfigError(
            f"sweep.revisions: {revision} is no folder, and model.path = {settings.model.path} is one, which has no "
            "revisions: list folders of models or checkpoints, or set model.path to a name on the hub"
        )
    changed = {"path": str(folder), "revision": ""} if folder.is_dir() else {"revision": revision}
    if folder.is_dir() and not (folder / settings.model.gguf_file).is_file():
        changed["gguf_file"] = ""  # checkpoints are safetensors, whatever the first model was
    results = Path(settings.results.path) / "sweep" / re.sub(r"[^\w.-]+", "_", revision)
    return settings.model_copy(
        update={
            "model": settings.model.model_copy(update=changed),
            "results": settings.results.model_copy(update={"path": str(results)}),
        }
    )


def check(settings: ModelSettings) -> list[str]:
    """What the traces of every revision read; the task is that of all."""
    shared = {"results": settings.results}
    found = [check_traces(mine.model_copy(update=shared)) for mine in _of_each(settings).values()]
    return list(dict.fromkeys(line for lines in found for line in lines))


main = partial(run_checked, "sweep_revisions", __doc__, sweep, check)


if __name__ == "__main__":
    raise SystemExit(main())
