"""Runs the experiment: trains both arms of every contrast with every seed, scores them, and writes the comparison.

    python -m jobs.gpu.run_experiment --config conf/experiment.toml [--set experiment.seeds=[0,1,2]] [--dry-run]

Packs every arm, trains it for ``training.token_budget`` tokens with every seed, scores the base model and every
trained model on the same task, and writes ``experiment.json`` and ``experiment.md`` under ``results.path`` after every
seed of a contrast. Finished parts are not run again: packed files, runs and scores carry their provenance. On several
GPUs, train the runs with ``torchrun ... -m jobs.gpu.continue_pretraining`` first; this job then only evaluates.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from jobs.framework.log_lines import say
from jobs.gpu.build_translation_task import check_task
from jobs.gpu.common.check_inputs import check_model, check_packed_files, check_tables, run_checked
from jobs.gpu.common.files import results_path, write_json, write_text
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.evaluate_translation import base_provenance
from jobs.gpu.models.model_files import model_settings
from jobs.gpu.pack_dataset import pack_if_needed, packed_folder
from jobs.gpu.packing.packed_file import read_manifest
from pivot_udfs.arms import arms_of
from pivot_udfs.errors import TaskError
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance
from pivot_udfs.storage.stores import STORE_ERRORS, resolve

if TYPE_CHECKING:
    from jobs.gpu.analysis.contrasts import RunResult
    from jobs.gpu.training.scored_runs import ScoredRuns

VERSION = 5


def run(settings: ModelSettings) -> None:
    """Trains and scores what is not done yet, and writes the comparison."""
    for contrast, seed in run_by_seed(settings):
        say("wrote", table=results_path(settings, "experiment.md"), contrast=contrast, seed=seed)


def run_by_seed(settings: ModelSettings) -> Iterator[tuple[str, int]]:
    """Runs the experiment; after every seed of a contrast the comparison is written, and (contrast, seed) yielded."""
    from jobs.gpu.training.scored_runs import ScoredRuns, one_run

    packed = {arm: _packed(one_run(settings, arm)) for arm in settings.experiment.arms}
    pilot, runs, results = _pilot(settings), ScoredRuns(settings), dict[tuple[str, int], "RunResult"]()
    for contrast in settings.experiment.contrasts:
        for seed in settings.experiment.seeds:
            for arm in arms_of(contrast):
                if (arm, seed) not in results:
                    say(f"arm {arm}, seed {seed}")
                    results[arm, seed] = runs.result(arm, seed)
            _write(settings, runs, results, packed, pilot)
            yield contrast, seed


def _pilot(settings: ModelSettings) -> dict[str, Any]:
    """The comparison that the earlier run wrote; empty where none is named."""
    path = settings.experiment.pilot
    try:
        return dict(json.loads(resolve(path).read())) if path else {}
    except (ValueError, *STORE_ERRORS) as error:
        raise TaskError(
            f"experiment.pilot: {path} is no readable experiment.json ({error}): correct the path"
        ) from None


def _packed(settings: ModelSettings) -> dict[str, Any]:
    """The manifest of the arm's packed file, which is packed first unless ``experiment.pack`` forbids it."""
    if settings.experiment.pack:
        pack_if_needed(settings)
    return read_manifest(packed_folder(settings))


def _write(
    settings: ModelSettings,
    runs: "ScoredRuns",
    results: "dict[tuple[str, int], RunResult]",
    packed: dict[str, Any],
    pilot: dict[str, Any],
) -> None:
    """Writes the comparison of what is done."""
    from jobs.gpu.analysis.compare_arms import compare, markdown_table
    from jobs.gpu.training.scored_runs import made_run, one_run

    found = compare(runs.base_scores, results, settings.experiment.contrasts, runs.task.half_a, pilot)
    made_from = {"base scores": base_provenance(settings).fingerprint}
    made_from |= {f"run {arm} {seed}": made_run(one_run(settings, arm, seed)).fingerprint for arm, seed in results}
    chosen = result_settings(settings.experiment) | result_settings(settings.training) | model_settings(settings.model)
    record = Provenance("run_experiment", VERSION, chosen, files=made_from)
    found |= {
        "token_budget": settings.training.token_budget,
        "arm_tokens": {arm: manifest["n_tokens"] for arm, manifest in packed.items()},
        "warehouse_releases": {arm: manifest.get("warehouse_release") for arm, manifest in packed.items()},
        "provenance": record.to_tree(),
    }
    write_json(results_path(settings, "experiment.json"), found)
    write_text(results_path(settings, "experiment.md"), markdown_table(found))


def check(settings: ModelSettings) -> list[str]:
    """The task, the model, the tables or packed files of every arm, and the earlier run."""
    found, arms = [*check_task(settings), *check_model(settings.model)], settings.experiment.arms
    if settings.experiment.pack:
        found += check_tables(settings, *(f"datasets/{arm}" for arm in arms), "documents", with_lexicon=False)
    else:
        found += check_packed_files(settings, *arms)
    if _pilot(settings):
        found.append(f"earlier run {settings.experiment.pilot}")
    return found


main = partial(run_checked, "run_experiment", __doc__, run, check)


if __name__ == "__main__":
    raise SystemExit(main())
