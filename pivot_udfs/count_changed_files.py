"""Counts the files by which two versions of ``documents`` differ: those of removed files with a minus sign."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pivot_udfs.count_cooccurrence import COUNTED, CountPlan, count_cooccurrence
from pivot_udfs.counting.partial_rows import negated_rows
from pivot_udfs.schemas import CORPUS_TOTALS, DOCUMENTS
from pivot_udfs.storage.read_parquet import read_files

_LENGTHS = pa.schema([DOCUMENTS.field(name) for name in ("lang", "n_tokens")])


def count_changed_files(batches: Iterator[pa.RecordBatch], folder: str, plan: CountPlan) -> Iterator[pa.RecordBatch]:
    """Counts the documents of files (a path in the folder, sign 1 or -1); counts of removed files are negative.

    Yields batches in PARTIAL_ROWS; a row may come more than once, its counts are to be summed.
    """
    files = [(row["sign"], row["file"]) for batch in batches for row in batch.to_pylist()]
    for sign, group in groupby(sorted(files), key=itemgetter(0)):
        documents = read_files([file for _, file in group], folder, COUNTED)
        for rows in count_cooccurrence(documents, plan):
            yield rows if sign > 0 else negated_rows(rows)


def count_languages(batches: Iterator[pa.RecordBatch], folder: str) -> Iterator[pa.RecordBatch]:
    """Documents and tokens by language, arguments as above; a language may come more than once."""
    for file in (row for batch in batches for row in batch.to_pylist()):
        for rows in read_files([file["file"]], folder, _LENGTHS):
            of_language = pa.table(rows).group_by("lang").aggregate([("n_tokens", "count"), ("n_tokens", "sum")])
            counts = [pc.multiply(of_language.column(name), file["sign"]) for name in of_language.column_names[1:]]
            table = pa.Table.from_arrays([of_language.column("lang"), *counts], schema=CORPUS_TOTALS)
            yield from table.to_batches()


def sum_languages(parts: Sequence[pa.Table]) -> list[dict[str, Any]]:
    """The rows of ``corpus_totals``, by language, from rows of ``count_languages`` and stored ones."""
    sums = pa.concat_tables(parts).group_by("lang").aggregate([("n_docs", "sum"), ("n_tokens", "sum")])
    rows = sums.rename_columns(CORPUS_TOTALS.names).sort_by("lang").to_pylist()
    return [row for row in rows if row["n_docs"]]
