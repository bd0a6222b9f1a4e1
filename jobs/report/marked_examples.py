"""Selected documents with their pivots marked: the examples of the report."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

import numpy as np
import pyarrow.dataset as ds
from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from jobs.framework.stage import Run
from jobs.selection.shrunken_density import SHRUNKEN
from jobs.warehouse.arrow_tables import matching_rows
from jobs.warehouse.delta.open_table import open_delta
from pivot_udfs.arms import PIVOT
from pivot_udfs.schemas import DATASET
from pivot_udfs.tokenization.token_offsets import token_byte_spans
from pivot_udfs.write_report import Passage, mark_pivots

PASSAGE_TOKENS = 220
_LONGEST_EXAMPLE = 20_000
"""In tokens; examples are tokenized again on the driver."""
_KEY = ("shard", "record")


def read_examples(run: Run, marked: DataFrame, languages: Sequence[str]) -> tuple[tuple[Row, Passage], ...]:
    """The densest ``report.n_examples`` documents of the pivot arm, taken from the languages in turn, in this order.

    ``marked`` is ``document_scores`` with ``shrunken_density`` (float), ``taken`` (bool) and a boolean column for each
    configured arm.
    """
    best = Window.partitionBy("lang").orderBy(F.desc(SHRUNKEN), "source", "doc_id")
    n_examples, arms = run.settings.report.n_examples, run.settings.selection.arms
    taken = marked.where(F.col("taken") & (F.col("n_tokens") <= _LONGEST_EXAMPLE))
    ranked = taken.withColumn("place", F.row_number().over(best)).where(F.col("place") <= n_examples)
    turn = F.array_position(F.array(*map(F.lit, languages)), F.col("lang"))
    chosen = ranked.where(turn > 0).orderBy("place", turn).limit(n_examples).select(*_KEY, *arms).collect()
    if not chosen:
        return ()
    # Spelled out, the keys exclude files and row groups by their statistics.
    keys = [(ds.field("shard") == row["shard"]) & (ds.field("record") == row["record"]) for row in chosen]
    dataset = f"datasets/{PIVOT}"
    delta = open_delta(run.warehouse.location(dataset), run.warehouse.check_source(dataset).newest)
    found = matching_rows(run.warehouse.location(dataset), delta, DATASET.names, reduce(or_, keys))
    documents = {(row["shard"], row["record"]): row for row in found}
    pivots = run.warehouse.read_small("pivots").column("token_id").to_numpy()
    examples = []
    for row in chosen:
        document = documents[row["shard"], row["record"]] | {"arms": [arm for arm in arms if row[arm]]}
        starts, ends = token_byte_spans(run.tokenizer, document["text"])
        is_pivot = np.isin(document["token_ids"], pivots)
        examples.append((Row(**document), mark_pivots(document["text"], starts, ends, is_pivot, PASSAGE_TOKENS)))
    return tuple(examples)
