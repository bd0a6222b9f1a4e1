"""The second counting step: sums partial rows of counts over all tasks into the rows of the four count tables.

Spark brings all parts of a row together and in order; here they are added in two arrays as long as the row can be,
which stay in the cache. Memory depends on the vocabulary, not on the corpus.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivot_udfs.counting.partial_rows import Counts, Kind, packed_rows, unpacked_rows
from pivot_udfs.counting.read_counts import read_counts, word_ids
from pivot_udfs.errors import WarehouseError
from pivot_udfs.matching.lexicon import Lexicon
from pivot_udfs.schemas import TABLES
from pivot_udfs.storage.typed_columns import pylist

_OUT_CELLS = 1 << 17


class Layout(NamedTuple):
    """A count table; its last two columns are the counts."""

    table: str
    row: str | None
    """The column with the row of a cell: ids, or words, which stand for word ids; None for a table of totals."""
    column: str
    """The same for the column of a cell."""


LAYOUTS = {
    Kind.TOKEN_COOCCURRENCE: Layout("token_cooccurrence", "word", "token_id"),
    Kind.WORD_COOCCURRENCE: Layout("word_cooccurrence", "word_a", "word_b"),
    Kind.WORD_TOTALS: Layout("word_totals", None, "word"),
    Kind.TOKEN_TOTALS: Layout("token_totals", None, "token_id"),
    Kind.TOKEN_SOURCES: Layout("token_sources", "source_group", "token_id"),
}


@dataclass(frozen=True)
class SumPlan:
    """All that a worker needs to sum; travels in the step's closure."""

    lexicon: Lexicon
    vocabulary_size: int

    @cached_property
    def languages(self) -> "pa.DictionaryArray[Any, Any]":
        """Language of each word id; in a dictionary with repeated values Parquet's writer would write plain texts."""
        return pa.array([language for language, _ in self.lexicon.words], pa.string()).dictionary_encode()

    @cached_property
    def words(self) -> "pa.DictionaryArray[Any, Any]":
        """Surface of each word id."""
        return pa.array([word for _, word in self.lexicon.words], pa.string()).dictionary_encode()


def sum_counts(batches: Iterator[pa.RecordBatch], plan: SumPlan) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Adds up partial rows (in PARTIAL_ROWS), which are ordered by kind and row, with all parts of a row.

    Yields (table, batch in that table's schema, strings as dictionaries), one table after the other; every cell once,
    ordered by row and column, without those that are zero. Raises WarehouseError where a sum is negative: the stored
    counts are not those of the documents that were removed.
    """
    waiting: list[tuple[int, Counts]] = []
    kind, n_cells = -1, 0
    for (row_kind, row), counts in _whole_rows(batches, plan):
        if not len(counts[0]):
            continue
        _check_counts(Kind(row_kind), counts)
        if waiting and (row_kind != kind or n_cells >= _OUT_CELLS):
            yield LAYOUTS[Kind(kind)].table, _table_rows(Kind(kind), waiting, plan)
            waiting, n_cells = [], 0
        kind = row_kind
        waiting.append((row, counts))
        n_cells += len(counts[0])
    if waiting:
        yield LAYOUTS[Kind(kind)].table, _table_rows(Kind(kind), waiting, plan)


def stored_counts(
    batches: Iterator[pa.RecordBatch], kind: Kind, folder: str, plan: SumPlan
) -> Iterator[pa.RecordBatch]:
    """The rows of a count table (one string column, its files) as PARTIAL_ROWS, to be summed with new ones."""
    numbers = plan.lexicon.word_numbers()
    for files in batches:
        for batch in read_counts(LAYOUTS[kind].table, pylist(files.column(0)), folder):
            yield _packed(batch, kind, numbers)


def _packed(batch: pa.RecordBatch, kind: Kind, numbers: Mapping[tuple[str, str], int]) -> pa.RecordBatch:
    _, row, column = LAYOUTS[kind]
    rows = _ids(batch, row, numbers) if row else np.zeros(batch.num_rows, np.int32)
    pairs, docs = (batch.column(name).to_numpy() for name in batch.schema.names[-2:])
    return packed_rows(kind, rows, _ids(batch, column, numbers), pairs, docs)


def _ids(batch: pa.RecordBatch, name: str, numbers: Mapping[tuple[str, str], int]) -> npt.NDArray[np.int32]:
    if name.startswith("word"):
        return word_ids(batch, numbers, name.removeprefix("word"))
    return batch.column(name).to_numpy()


def _whole_rows(batches: Iterator[pa.RecordBatch], plan: SumPlan) -> Iterator[tuple[tuple[int, int], Counts]]:
    size = max(plan.vocabulary_size, len(plan.lexicon.words))
    pairs, docs = np.zeros(size, np.int64), np.zeros(size, np.int64)
    current, parts = (-1, -1), list[Counts]()
    for batch in batches:
        for key, part in unpacked_rows(batch):
            if key != current and parts:
                yield current, _added(parts, pairs, docs)
                parts = []
            elif len(parts) > 1:
                parts = [_added(parts, pairs, docs)]
            current = key
            parts.append(part)
    if parts:
        yield current, _added(parts, pairs, docs)


def _check_counts(kind: Kind, counts: Counts) -> None:
    least = 0 if kind is Kind.TOKEN_SOURCES else 1
    if counts[1].min() < least or counts[2].min() < 1:
        table = LAYOUTS[kind].table
        raise WarehouseError(
            f"{table} would have negative counts: it does not count the documents that were removed; remove the folder "
            f"of {table}, so that all documents are counted anew"
        )


def _added(parts: list[Counts], pairs: npt.NDArray[np.int64], docs: npt.NDArray[np.int64]) -> Counts:
    """The sum of parts of one row; a part has each column once. ``pairs`` and ``docs`` are zero before and after."""
    if len(parts) == 1:
        return parts[0]
    for columns, part_pairs, part_docs in parts:
        pairs[columns] += part_pairs
        docs[columns] += part_docs
    columns = np.flatnonzero((docs != 0) | (pairs != 0)).astype(np.int32)  # of booleans, four times as fast
    total = (columns, pairs[columns], docs[columns])
    pairs[columns] = 0
    docs[columns] = 0
    return total


def _table_rows(kind: Kind, rows: list[tuple[int, Counts]], plan: SumPlan) -> pa.RecordBatch:
    lengths = [len(counts[0]) for _, counts in rows]
    row_ids = np.repeat(np.array([row for row, _ in rows], np.int32), lengths)
    columns = np.concatenate([counts[0] for _, counts in rows])
    pairs, docs = (np.concatenate([counts[k] for _, counts in rows], dtype=np.int64) for k in (1, 2))
    table, row, column = LAYOUTS[kind]
    ids = (_named(plan, row, row_ids) if row else {}) | _named(plan, column, columns)
    return _batch(ids | dict(zip(TABLES[table].schema.names[-2:], (pairs, docs), strict=True)))


def _named(plan: SumPlan, name: str, ids: npt.NDArray[np.int32]) -> dict[str, Any]:
    if not name.startswith("word"):
        return {name: ids}
    return {name.replace("word", "lang"): _at(plan.languages, ids), name: _at(plan.words, ids)}


def _at(values: "pa.DictionaryArray[Any, Any]", places: npt.NDArray[np.int32]) -> "pa.DictionaryArray[Any, Any]":
    return pa.DictionaryArray.from_arrays(pa.array(values.indices.to_numpy()[places]), values.dictionary)


def _batch(columns: dict[str, Any]) -> pa.RecordBatch:
    arrays = [values if isinstance(values, pa.Array) else pa.array(values) for values in columns.values()]
    fields = [pa.field(name, array.type, nullable=False) for name, array in zip(columns, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
