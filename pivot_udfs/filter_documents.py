"""The executor steps of the filter: copy the chosen documents into their arms, and count what these hold.

``copy_chosen`` reads the Parquet files of ``documents`` directly, one row group at a time: passing a token list through
Spark's rows costs several times as much as reading and writing it, and no join with the documents is needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pivot_udfs.arms import ARMS
from pivot_udfs.count_changed_files import count_languages
from pivot_udfs.errors import WarehouseError
from pivot_udfs.matching.swap_words import SwapPlan, swap_words
from pivot_udfs.schemas import CORPUS_TOTALS, DATASET, DOCUMENTS
from pivot_udfs.storage.read_parquet import (
    check_columns,
    open_parquet,
    read_files,
    read_row_groups,
    split_by_shard,
    table_in,
)
from pivot_udfs.storage.stores import resolve
from pivot_udfs.storage.typed_columns import pylist, required, schema_of

PLACES = schema_of({"file": pa.string(), "shard": pa.string(), "first": pa.int64(), "last": pa.int64()})
"""``first`` and ``last`` are numbers of records."""
HELD = pa.schema([required("table", pa.string()), *CORPUS_TOTALS])
_PLACE = pa.schema([DOCUMENTS.field(name) for name in ("shard", "record")])
_RECORDS_PER_SHARD = 1 << 40
_OF_KEYS = ("pivot_density", "shrunken_density")


def record_ranges(batches: Iterator[pa.RecordBatch], folder: str) -> Iterator[pa.RecordBatch]:
    """The records in files (one string column) of ``documents``: batches in PLACES, a row for each file and shard."""
    for file in (file for batch in batches for file in pylist(batch.column(0))):
        records = pa.Table.from_batches(read_files([file], folder, _PLACE), _PLACE).group_by("shard")
        ranges = records.aggregate([("record", "min"), ("record", "max")]).rename_columns(PLACES.names[1:])
        yield from ranges.add_column(0, "file", pa.repeat(file, ranges.num_rows)).cast(PLACES).to_batches()


def count_held(batches: Iterator[pa.RecordBatch], folder: str) -> Iterator[pa.RecordBatch]:
    """Documents and tokens by language of files of several tables (paths in the folder, the URI of the warehouse).

    Yields batches in HELD; a language of a table may come more than once.
    """
    for batch in batches:
        for place, file in enumerate(pylist(batch.column("file"))):
            for rows in count_languages(iter([batch.slice(place, 1)]), folder):
                yield pa.RecordBatch.from_arrays([pa.repeat(table_in(file), len(rows)), *rows.columns], schema=HELD)


def copy_chosen(
    batches: Iterator[pa.RecordBatch],
    folder: str,
    arms: Sequence[str],
    swap: SwapPlan | None = None,
    cuts: Mapping[str, float] = MappingProxyType({}),
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Reads the chosen documents from the files of ``documents`` and splits them into their arms.

    Holds the keys and one row group of one file in memory. ``batches`` have the columns file (its name in ``folder``,
    the URI of the table; empty if no file has the document), shard, record, pivot_density, shrunken_density, and a
    boolean column for each arm; rows of one file are contiguous. Arms that are altered copies of others need ``swap``;
    ``cuts`` are the values of the column ``cut`` by language.
    Yields (``datasets/<arm>``, batch in DATASET with the rows of one shard).

    Raises WarehouseError where a chosen document can be in no file, or a file has other columns than DOCUMENTS.
    """
    location = resolve(folder)
    for file, parts in groupby(_by_file(batches), key=itemgetter(0)):
        keys = pa.Table.from_batches([part for _, part in parts]).combine_chunks()
        if not file:
            raise WarehouseError(
                f"{location} lacks {keys.num_rows} of the chosen documents: "
                "document_scores was made from other documents; run score_documents again"
            )
        with open_parquet(location.child(file)) as documents:
            check_columns(documents, DOCUMENTS, f"{location}/{file}")
            for chosen in _chosen_rows(documents, keys, arms, cuts):
                yield from _split_into_arms(chosen, arms, swap)


def _by_file(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
    for batch in batches:
        files = batch.column("file")
        for file in pylist(files.unique()):
            yield file, batch.filter(pc.equal(files, file)).drop_columns(["file"])


def _chosen_rows(
    documents: pq.ParquetFile, keys: pa.Table, arms: Sequence[str], cuts: Mapping[str, float]
) -> Iterator[pa.RecordBatch]:
    """The documents of a file that have a key: batches with the columns of DATASET and of the arms."""
    shards = keys.column("shard").unique()
    places = _places(keys, shards)
    order = np.argsort(places)
    places = places[order]
    for batch in read_row_groups(documents, DOCUMENTS):
        wanted = _places(batch, shards)
        at = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
        found = np.flatnonzero(places[at] == wanted)
        if len(found):
            rows, of_keys = batch.take(found), keys.take(order[at[found]])
            columns = {name: rows.column(name) for name in rows.schema.names}
            columns["cut"] = pa.array([cuts.get(lang) for lang in pylist(columns["lang"])], pa.float64())
            columns |= {name: of_keys.column(name).combine_chunks() for name in (*_OF_KEYS, *arms)}
            yield pa.RecordBatch.from_arrays(
                [columns[name] for name in (*DATASET.names, *arms)], [*DATASET.names, *arms]
            )


def _places(rows: pa.Table | pa.RecordBatch, shards: "pa.Array[Any] | pa.ChunkedArray[Any]") -> npt.NDArray[np.int64]:
    """One number for each (shard, record), int64 (n_rows,); negative where the shard is not in ``shards``."""
    of_shard = pc.index_in(rows.column("shard"), shards).fill_null(-1).to_numpy().astype(np.int64)
    places: npt.NDArray[np.int64] = of_shard * _RECORDS_PER_SHARD + rows.column("record").to_numpy()
    return places


def _split_into_arms(
    chosen: pa.RecordBatch, arms: Sequence[str], swap: SwapPlan | None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    for arm in arms:
        of_arm = chosen.filter(chosen.column(arm))
        if of_arm.num_rows:
            columns = [of_arm.column(field.name).cast(field.type) for field in DATASET]
            rows = pa.RecordBatch.from_arrays(columns, schema=DATASET)
            for of_shard in split_by_shard(swap_words(rows, swap) if swap and ARMS[arm].copy_of else rows):
                yield f"datasets/{arm}", of_shard
