"""Runs all jobs of the model side on a CPU, on the tables of ``make demo``, with a small real model.

    python -m jobs.gpu.demo_model --config conf/demo-model.toml

Saves the base model as safetensors, builds and scores the task, traces, explains, trains two arms for a few thousand
tokens, and writes the report. Fails unless some middle layer, when French "eau" is translated to Chinese, has the top
token " water" with a probability above 0.5: a semantic pivot.
"""

import shutil
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from jobs.framework.messages import say
from jobs.gpu.build_translation_task import build
from jobs.gpu.common.errors import ModelError
from jobs.gpu.common.files import results_path, write_json
from jobs.gpu.common.run_job import run_job
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.convert_model import convert
from jobs.gpu.evaluate_translation import evaluate
from jobs.gpu.explain_behaviour import explain
from jobs.gpu.run_experiment import run
from jobs.gpu.trace_layers import trace
from jobs.gpu.translation.prompts import WordTokens
from jobs.gpu.write_model_report import write_report
from pivot_udfs.errors import WarehouseError
from pivot_udfs.tokenization.backends import load_tokenizer

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
    check_pivot(settings, "fr-zh", "eau", " water")
    say("demo: experiment")
    run(settings)
    write_report(settings)


def start_anew(folder: Path) -> None:
    """Deletes the results of an earlier demo, since the tables may be newer.

    Raises:
        WarehouseError: the folder holds results that the demo did not write.
    """
    found = [folder / name for name in WRITTEN if (folder / name).exists()]
    if found and not (folder / MARKER).is_file():
        names = ", ".join(path.name for path in found)
        raise WarehouseError(
            f"{folder} holds {names}, but no {MARKER}: the demo did not write them and would replace them; set another "
            "results.path, or delete them"
        )
    write_json(folder / MARKER, {"job": "jobs.gpu.demo_model", "replaced_by_the_next_demo": list(WRITTEN)})
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def check_pivot(settings: ModelSettings, direction: str, source: str, pivot: str) -> None:
    """Reports the middle layer whose top token is the pivot; a ``ModelError`` if none has a probability above 0.5."""
    texts = WordTokens(load_tokenizer(settings.tokenizer.path, "reference")).texts
    rows = pq.read_table(results_path(settings, "traces", f"{direction}.parquet")).to_pylist()
    for row in (row for row in rows if row["source"] == source):
        best = [(ids[0], p[0]) for ids, p in zip(row["top_ids"], row["top_probabilities"], strict=True)]
        found = [(p, layer) for layer, (token, p) in enumerate(best[:-1], 1) if texts[token] == pivot]
        if found and max(found)[0] > 0.5:
            p, layer = max(found)
            say(f"{direction} {source}: top token of layer {layer} of {len(best)} is {pivot!r}", p=f"{p:.2f}")
            return
    raise ModelError(
        f"{direction} {source!r}: no middle layer has the top token {pivot!r} with a probability above 0.5; use the "
        "model and tokenizer of conf/demo-model.toml"
    )


main = partial(run_job, demo, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
