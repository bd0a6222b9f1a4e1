"""The tokenize job on ``local[2]``: ours, through ``tokenizers``, and with no tokenizing at all.

    python -m benchmarks.tokenize_job --corpus FOLDER

Without tokenizing it runs twice: written by the workers, as ours is, and by Spark's own writer, as most jobs are.
The shards are repeated to a gigabyte of text; ``tokenizers`` gets a part of it, since it would take minutes. All
write Delta. Documents and tokens must agree. Targets: 8 times ``tokenizers``, 0.6 of the speed without tokenizing.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
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
    settled,
    start_run,
    text_megabytes,
)
from jobs.tokenize_corpus import plan_shards, task_numbers
from pivot_udfs.provenance import Provenance
from pivot_udfs.settings import Settings
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenize_corpus import ShardCounts, tokenize_corpus

_TEXT_MB = 1000
_SLOW_TEXT_MB = 60


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    once = text_megabytes(read_documents(arguments.corpus))
    times = max(1, round(_TEXT_MB / once + 0.5))
    large = repeated_corpus(arguments.corpus, times, arguments.scratch)
    part_times = max(1, round(_SLOW_TEXT_MB / once))
    small = repeated_corpus(arguments.corpus, part_times, arguments.scratch)
    warehouse = f"{arguments.scratch}/bench-tokenize"
    whole, part = (settings_for(arguments, folder, warehouse, both_compilers=True) for folder in (large, small))
    spec = start_run(whole).tokenizer
    slow = dataclasses.replace(spec, backend="tokenizers")
    assert _tokenize(part, spec) == _tokenize(part, slow), "documents or tokens differ"
    between = partial(settled, warehouse)
    timed = in_turn(
        arguments.repeats,
        between,
        ours=lambda: _tokenize(whole, spec),
        no_tokenizing=lambda: _tokenize(whole, None),
    ) | in_turn(
        1, between, tokenizers=lambda: _tokenize(part, slow), ours_on_the_same_part=lambda: _tokenize(part, spec)
    )
    megabytes = dict.fromkeys(timed, once * times) | dict.fromkeys(
        ("tokenizers", "ours_on_the_same_part"), once * part_times
    )
    rates = {name: [megabytes[name] / value for value in values] for name, values in timed.items()}
    fresh(warehouse)
    report(
        "tokenize_job",
        {f"{name}_MB_per_s": round(median(values), 1) for name, values in rates.items()}
        | {"ratio_to_no_tokenizing": _ratio(rates, "no_tokenizing")}
        | {
            "ratio_to_tokenizers": round(median(rates["ours"]) / median(rates["tokenizers"]), 1),
            "targets": [8, 0.6],
            "text_MB": round(once * times),
            "tokenizers_text_MB": round(once * part_times),
        },
    )


def _ratio(rates: dict[str, list[float]], other: str) -> float:
    """Our speed to another's, the median of their turns."""
    return round(median([ours / its for ours, its in zip(rates["ours"], rates[other], strict=True)]), 2)


def _no_tokens(texts: Sequence[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """What reading and writing alone cost."""
    return np.zeros(0, np.int32), np.zeros(len(texts) + 1, np.int64)


def _tokenize(settings: Settings, spec: TokenizerSpec | None) -> tuple[int, int]:
    run = start_run(settings)  # a run commits onto the versions that it found
    plan = plan_shards(run, [(shard.path, shard.n_bytes) for shard in run.shards])
    if spec:
        step = partial(tokenize_corpus, plan=dataclasses.replace(plan, tokenizer=spec), report=_ignore)
    else:
        step = partial(tokenize_corpus, plan=plan, report=_ignore, encode=_no_tokens)
    run.warehouse.write(task_numbers(run, plan), ["quarantine", "documents"], Provenance("benchmark", 1), step)
    row = run.warehouse.read("documents").agg(F.count("*"), F.sum("n_tokens")).collect()[0]
    return int(row[0]), int(row[1])


def _ignore(counts: ShardCounts) -> None:
    pass


if __name__ == "__main__":
    main()
