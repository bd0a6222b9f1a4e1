"""Selected documents with their pivots marked: the examples of the report."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

import numpy as np
from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from jobs.framework.stage import Run
from jobs.selection.shrunken_density import SHRUNKEN
from pivot_udfs.arms import PIVOT
from pivot_udfs.tokenization.token_offsets import token_byte_spans
from pivot_udfs.write_report import Passage, mark_pivots

PASSAGE_TOKENS = 220
_LONGEST_EXAMPLE = 20_000
"""In tokens; examples are tokenized again on the driver."""
_KEY = ("shard", "record")


def read_examples(
    run: Run, scored: DataFrame, marked: DataFrame, languages: Sequence[str]
) -> tuple[tuple[Row, Passage], ...]:
    """The densest ``report.n_examples`` documents of the pivot arm, taken from the languages in turn, in this order.

    ``scored`` is ``document_scores`` with ``shrunken_density`` (float) and ``taken`` (bool), ``marked`` the same with a
    boolean column for each configured arm.
    """
    best = Window.partitionBy("lang").orderBy(F.desc(SHRUNKEN), "source", "doc_id")
    n_examples = run.settings.report.n_examples
    taken = scored.where(F.col("taken") & (F.col("n_tokens") <= _LONGEST_EXAMPLE))
    ranked = taken.withColumn("place", F.row_number().over(best)).where(F.col("place") <= n_examples)
    turn = F.array_position(F.array(*map(F.lit, languages)), F.col("lang"))
    keys = ranked.where(turn > 0).orderBy("place", turn).select(*_KEY).limit(n_examples).collect()
    if not keys:
        return ()
    # Spelled out, the keys exclude files and row groups by their statistics.
    wanted = reduce(or_, ((F.col("shard") == key["shard"]) & (F.col("record") == key["record"]) for key in keys))
    rows = run.warehouse.read(f"datasets/{PIVOT}").where(wanted).collect()
    arms = run.settings.selection.arms
    held = {
        tuple(row[:2]): [arm for arm in arms if row[arm]] for row in marked.where(wanted).select(*_KEY, *arms).collect()
    }
    by_key = {key: Row(**row.asDict(), arms=held[key]) for row in rows if (key := tuple(row[name] for name in _KEY))}
    pivots = {*run.warehouse.read_small("pivots").column("token_id").to_pylist()}
    documents = [by_key[tuple(key)] for key in keys]
    examples = []
    for row in documents:
        starts, ends = token_byte_spans(run.tokenizer, row["text"])
        is_pivot = np.array([token_id in pivots for token_id in row["token_ids"]], dtype=bool)
        examples.append((row, mark_pivots(row["text"], starts, ends, is_pivot, PASSAGE_TOKENS)))
    return tuple(examples)
