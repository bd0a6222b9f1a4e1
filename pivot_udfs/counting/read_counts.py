"""Reads the files of count tables in workers, with word ids in place of words."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pivot_udfs.schemas import TABLES
from pivot_udfs.storage.read_parquet import read_files
from pivot_udfs.storage.typed_columns import pylist, typed_column

_WORDS = pa.dictionary(pa.int32(), pa.string())


def read_counts(
    table: str, files: Sequence[str], folder: str, without: Collection[str] = ()
) -> Iterator[pa.RecordBatch]:
    """The rows of files of a count table, without some columns, strings as dictionaries; ``folder`` is its URI."""
    fields = [field for field in TABLES[table].schema if field.name not in without]
    typed = [field.with_type(_WORDS) if field.type == pa.string() else field for field in fields]
    yield from read_files(files, folder, pa.schema(typed))


def word_ids(batch: pa.RecordBatch, numbers: Mapping[tuple[str, str], int], suffix: str = "") -> npt.NDArray[np.int32]:
    """The word id of each row, int32, by the dictionary columns ``lang<suffix>`` and ``word<suffix>``."""
    languages, words = (typed_column(batch, f"{name}{suffix}", pa.DictionaryArray) for name in ("lang", "word"))
    n_words = len(words.dictionary)
    both = languages.indices.to_numpy().astype(np.int64) * n_words + words.indices.to_numpy()
    ids = np.full(len(languages.dictionary) * n_words, -1, np.int32)
    ids[both] = 0
    names = pylist(words.dictionary)
    for place in np.flatnonzero(ids == 0).tolist():
        ids[place] = numbers[languages.dictionary[place // n_words].as_py(), names[place % n_words]]
    found: npt.NDArray[np.int32] = ids[both]
    return found
