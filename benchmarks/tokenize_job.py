"""The tokenize job on ``local[2]``: ours, the same job through ``tokenizers``, and the same job with no tokenizing.

    python -m benchmarks.tokenize_job --corpus FOLDER

The shards are repeated to a gigabyte of text; ``tokenizers`` gets a part of it, since it would take minutes. All three
write Delta. Documents and tokens must agree. Targets: 8 times ``tokenizers``, 0.6 of the speed without tokenizing.
"""

import dataclasses
from functools import partial
from typing import Any

from pyspark.sql import functions as F

from benchmarks.common import (
    fresh,
    in_turn,
    median,
    parse,
    read_documents,
    repeated_corpus,
    report,
    settings_for,
    start_run,
    text_megabytes,
)
from jobs.delta_tables import Recipe
from jobs.stage import Run
from jobs.tokenize_corpus import plan_shards, task_numbers
from pivot_udfs.tokenize_corpus import tokenize_corpus
from pivot_udfs.write_parquet import one_table

_TEXT_MB = 1000
_SLOW_TEXT_MB = 60


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    once = text_megabytes(read_documents(arguments.corpus))
    times = max(1, round(_TEXT_MB / once + 0.5))
    large = repeated_corpus(arguments.corpus, times, arguments.scratch)
    small = repeated_corpus(arguments.corpus, max(1, round(_SLOW_TEXT_MB / once)), arguments.scratch)
    warehouse = f"{arguments.scratch}/bench-tokenize"
    runs = {name: start_run(settings_for(arguments, folder, warehouse)) for name, folder in
            (("large", large), ("small", small))}  # fmt: skip
    spec = runs["large"].tokenizer
    slow = dataclasses.replace(spec, backend="tokenizers")
    job = _tokenize
    job(runs["small"], spec)
    assert job(runs["small"], spec) == job(runs["small"], slow), "documents or tokens differ"
    rates = {"ours": [], "no_tokenizing": [], "tokenizers": [], "ours_on_the_same_part": []}  # type: ignore[var-annotated]
    timed = in_turn(
        arguments.repeats,
        ours=lambda: job(runs["large"], spec),
        no_tokenizing=lambda: job(runs["large"], None),
    ) | in_turn(1, tokenizers=lambda: job(runs["small"], slow), ours_on_the_same_part=lambda: job(runs["small"], spec))
    large_mb, small_mb = once * times, once * max(1, round(_SLOW_TEXT_MB / once))
    for name, values in timed.items():
        megabytes = large_mb if name in ("ours", "no_tokenizing") else small_mb
        rates[name] = [megabytes / value for value in values]
    fresh(warehouse)
    report(
        "tokenize_job",
        {f"{name}_MB_per_s": round(median(values), 1) for name, values in rates.items()}
        | {
            "ratio_to_tokenizers": round(median(rates["ours"]) / median(rates["tokenizers"]), 1),
            "ratio_to_no_tokenizing": round(
                median([a / b for a, b in zip(rates["ours"], rates["no_tokenizing"], strict=True)]), 2
            ),
            "targets": [8, 0.6],
            "text_MB": round(large_mb),
            "tokenizers_text_MB": round(small_mb),
        },
    )


def _tokenize(run: Run, spec: Any) -> tuple[int, int]:
    plan = plan_shards(run, [(shard.path, shard.n_bytes) for shard in run.shards])
    step = partial(tokenize_corpus, plan=dataclasses.replace(plan, tokenizer=spec), tell=_ignore)
    recipe = Recipe("benchmark", "", "", {}, {}, {})
    to_table = partial(one_table, step=step, table="documents")
    run.warehouse.write_from_workers(task_numbers(run, plan), to_table, ["documents"], recipe)
    row = run.warehouse.read("documents").agg(F.count("*"), F.sum("n_tokens")).collect()[0]
    return int(row[0]), int(row[1])


def _ignore(tally: Any) -> None:
    pass


if __name__ == "__main__":
    main()
