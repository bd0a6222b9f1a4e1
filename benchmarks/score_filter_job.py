"""Scoring and filtering on ``local[2]`` against Spark copying the same table.

    python -m benchmarks.score_filter_job --corpus FOLDER

The copy reads ``documents`` and writes it as Delta. Ours scores every document and writes the pivot arm (the best fifth
of each language's tokens), and, as a second figure, all four arms. Target: 0.7 of the copy's speed.
"""

from benchmarks.common import fresh, in_turn, median, parse, report, settings_for, start_run
from jobs import count_cooccurrence, filter_documents, find_pivots, score_documents, tokenize_corpus
from jobs.framework.run_stages import run_stage
from jobs.framework.stage import Run
from pivot_udfs.settings import Selection


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    warehouse = fresh(f"{arguments.scratch}/bench-filter")
    runs = {
        "pivot_arm": start_run(
            settings_for(arguments, arguments.corpus, warehouse, selection=Selection(arms=["pivot"]))
        ),
        "four_arms": start_run(settings_for(arguments, arguments.corpus, warehouse)),
    }
    for job in (tokenize_corpus, count_cooccurrence, find_pivots):
        run_stage(runs["pivot_arm"], job.STAGE)
    for run in runs.values():
        _score_and_filter(run)
    copy = fresh(f"{arguments.scratch}/bench-filter-copy")
    _copy(runs["pivot_arm"], copy)
    times = in_turn(
        arguments.repeats,
        copy=lambda: _copy(runs["pivot_arm"], copy),
        pivot_arm=lambda: _score_and_filter(runs["pivot_arm"]),
        four_arms=lambda: _score_and_filter(runs["four_arms"]),
    )
    for path in (warehouse, copy):
        fresh(path)
    ratios = {
        f"{name}_ratio": round(median([a / b for a, b in zip(times["copy"], times[name], strict=True)]), 2)
        for name in ("pivot_arm", "four_arms")
    }
    figures = {f"{name}_seconds": [round(value, 1) for value in values] for name, values in times.items()}
    report("score_filter_job", figures | ratios | {"target": 0.7})


def _score_and_filter(run: Run) -> None:
    run_stage(run, score_documents.STAGE)
    run_stage(run, filter_documents.STAGE)


def _copy(run: Run, path: str) -> None:
    run.warehouse.read("documents").write.format("delta").mode("overwrite").save(path)


if __name__ == "__main__":
    main()
