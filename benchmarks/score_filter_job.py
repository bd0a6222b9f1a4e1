"""Scoring and filtering on ``local[2]`` against Spark copying the same table.

    python -m benchmarks.score_filter_job --corpus FOLDER

The copy reads ``documents`` and writes it as Delta. Ours scores every document and writes the pivot arm (the best fifth
of each language's tokens), and, as a second figure, all four arms. Target: 0.7 of the copy's speed.
"""

from benchmarks.common import fresh, in_turn, median, parse, report, settings_for, start_run
from jobs import count_cooccurrence, filter_documents, find_pivots, score_documents, tokenize_corpus
from jobs.framework.run_stages import run_stage
from jobs.framework.stage import Run
from pivot_udfs.settings import Selection, Settings


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    warehouse = fresh(f"{arguments.scratch}/bench-filter")
    four_arms = settings_for(arguments, arguments.corpus, warehouse, both_compilers=True)
    pivot_arm = four_arms.model_copy(update={"selection": Selection(arms=["pivot"])})
    run = start_run(four_arms)
    for job in (tokenize_corpus, count_cooccurrence, find_pivots):
        run_stage(run, job.STAGE)
    for settings in (pivot_arm, four_arms):
        _score_and_filter(settings)
    copy = fresh(f"{arguments.scratch}/bench-filter-copy")
    _copy(run, copy)
    times = in_turn(
        arguments.repeats,
        copy=lambda: _copy(run, copy),
        pivot_arm=lambda: _score_and_filter(pivot_arm),
        four_arms=lambda: _score_and_filter(four_arms),
    )
    for path in (warehouse, copy):
        fresh(path)
    ratios = {
        f"{name}_ratio": round(median([a / b for a, b in zip(times["copy"], times[name], strict=True)]), 2)
        for name in ("pivot_arm", "four_arms")
    }
    figures = {f"{name}_seconds": [round(value, 1) for value in values] for name, values in times.items()}
    report("score_filter_job", figures | ratios | {"target": 0.7})


def _score_and_filter(settings: Settings) -> None:
    run = start_run(settings)  # a run commits onto the versions that it found
    run_stage(run, score_documents.STAGE)
    run_stage(run, filter_documents.STAGE)


def _copy(run: Run, path: str) -> None:
    run.warehouse.read("documents").write.format("delta").mode("overwrite").save(path)


if __name__ == "__main__":
    main()
