"""How documents are ranked, how much of each language is taken, and the steps that write the chosen ones.

The arithmetic serves Spark columns and numbers alike.

The raw density of a short document is noise: one pivot in five tokens is 0.2. Ranking is by the density shrunken
towards the language's own, (n_pivot_tokens + k m) / (n_tokens + k): the posterior mean under a Beta prior that is
worth k tokens of the language's mean m. A document far shorter than k tokens ranks near its language's mean, one far
longer at its own density, so nothing is gained by being short.

``copy_chosen`` reads the Parquet files of ``documents`` by itself, a row group at a time: through Spark's rows a token
list costs several times what reading and writing it does, and no document has to meet its key in a join.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pivot_udfs.errors import WarehouseError
from pivot_udfs.schemas import DATASET, DOCUMENTS
from pivot_udfs.settings import Selection
from pivot_udfs.storage.stores import resolve

LENGTH_BINS_PER_OCTAVE = 4
"""The matched arm has the pivot arm's lengths to within a factor of 2 ** (1 / 4)."""
_RECORDS_PER_SHARD = 1 << 40
_PIECE_BYTES = 64 << 20
_OTHER_DOCUMENTS = "document_scores was made from other documents; run score_documents again"


def shrunken_density(n_pivot_tokens: Any, n_tokens: Any, language_density: Any, shrinkage_tokens: int) -> Any:
    """The density by which documents are ranked, 0..1; numbers, arrays or Spark columns."""
    pivots = n_pivot_tokens + shrinkage_tokens * language_density
    return pivots / (n_tokens + shrinkage_tokens)


def language_budgets(selection: Selection, language_tokens: Mapping[str, int]) -> dict[str, int]:
    """Tokens to take of each language under the rules ``top_share`` and ``token_budget``.

    A quota that a language cannot fill, or that the corpus lacks, stays unfilled: the others do not grow, so the mix is
    never another.
    """
    if selection.rule == "top_share":
        return {language: int(selection.share * n_tokens) for language, n_tokens in language_tokens.items()}
    total = sum(language_tokens.values())
    quotas = selection.language_quotas or {lang: n / total for lang, n in language_tokens.items()}
    return {lang: int(selection.tokens * quotas.get(lang, 0.0)) for lang in {**language_tokens, **quotas}}


@dataclass(frozen=True)
class Budget:
    """How much an arm is to take of a language."""

    arm: str
    lang: str
    """``all`` in the arm ``parallel``."""
    unit: str
    """``tokens`` or, in the arm ``matched``, ``documents``."""
    amount: int


def arm_budgets(
    selection: Selection, language_tokens: Mapping[str, int], pivot_arm: Mapping[str, tuple[int, int]]
) -> list[Budget]:
    """What the configured arms are to take; nothing for a pivot arm by threshold, which has no budget.

    Args:
        selection: the rule and the arms.
        language_tokens: of the corpus, by language.
        pivot_arm: (documents, tokens) of the pivot arm, by language.
    """
    pivot = {} if selection.rule == "threshold" else language_budgets(selection, language_tokens)
    n_docs = {lang: n for lang, (n, _) in pivot_arm.items()}
    n_tokens = {lang: n for lang, (_, n) in pivot_arm.items()}
    amounts = {
        "pivot": ("tokens", pivot),
        "random": ("tokens", n_tokens),
        "matched": ("documents", n_docs),
        "parallel": ("tokens", {"all": sum(n_tokens.values())}),
    }
    return [
        Budget(arm, lang, unit, amount)
        for arm in selection.arms
        for unit, by_lang in [amounts[arm]]
        for lang, amount in sorted(by_lang.items())
    ]


def copy_chosen(
    batches: Iterator[pa.RecordBatch], folder: str, arms: Sequence[str]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Reads the chosen documents from the files of ``documents`` and parts them into their arms.

    Args:
        batches: file (its name in the folder, empty for a document that is nowhere), shard, record, pivot_density, and
            for each arm a boolean column of its name; all rows of a file together. The rows of one file are held at a
            time, and a row group of it.
        folder: URI of ``documents``.
        arms: their names.

    Yields:
        (``datasets/<arm>``, batch in DATASET).

    Raises:
        WarehouseError: a chosen document is not in its file.
    """
    location = resolve(folder)
    for file, parts in groupby(_by_file(batches), key=itemgetter(0)):
        keys = pa.Table.from_batches([part for _, part in parts]).combine_chunks()
        if not file:
            raise WarehouseError(f"{location} lacks {keys.num_rows} of the chosen documents: {_OTHER_DOCUMENTS}")
        n_found = 0
        with location.child(file).open_input(seekable=True) as stream, pq.ParquetFile(stream) as documents:
            for chosen in _chosen_rows(documents, keys, arms):
                n_found += chosen.num_rows
                yield from split_into_arms(iter([chosen]), arms)
        if n_found != keys.num_rows:
            raise WarehouseError(
                f"{location}/{file} has {n_found} of the {keys.num_rows} documents chosen from it: {_OTHER_DOCUMENTS}"
            )


def _by_file(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
    for batch in batches:
        files = batch.column("file")
        for file in files.unique().to_pylist():
            yield file, batch.filter(pc.equal(files, file)).drop_columns(["file"])


def _chosen_rows(documents: pq.ParquetFile, keys: pa.Table, arms: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The documents of a file that have a key, in DATASET, with the columns of the arms."""
    shards = keys.column("shard").unique()
    places = _places(keys, shards)
    order = np.argsort(places)
    places = places[order]
    for batch in _row_groups(documents):
        wanted = _places(batch, shards)
        at = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
        found = np.flatnonzero(places[at] == wanted)
        if len(found):
            rows, of_keys = batch.take(found), keys.take(order[at[found]])
            columns = {name: rows.column(name) for name in rows.schema.names}
            columns |= {name: of_keys.column(name).combine_chunks() for name in ("pivot_density", *arms)}
            yield pa.RecordBatch.from_arrays(
                [columns[name] for name in (*DATASET.names, *arms)], [*DATASET.names, *arms]
            )


def _places(rows: pa.Table | pa.RecordBatch, shards: pa.Array) -> npt.NDArray[np.int64]:
    """A number for each (shard, record); negative where the shard is none of ``shards``."""
    of_shard = pc.fill_null(pc.index_in(rows.column("shard"), shards), -1).to_numpy().astype(np.int64)
    places: npt.NDArray[np.int64] = of_shard * _RECORDS_PER_SHARD + rows.column("record").to_numpy()
    return places


def _row_groups(documents: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """All rows in batches in DOCUMENTS; a row group that is larger than those this project writes, in pieces."""
    for number in range(documents.num_row_groups):
        group = documents.metadata.row_group(number)
        n_rows = max(1, min(group.num_rows, group.num_rows * _PIECE_BYTES // max(1, group.total_byte_size)))
        for batch in documents.iter_batches(n_rows, [number], DOCUMENTS.names, use_threads=False):
            columns = [batch.column(field.name).cast(field.type) for field in DOCUMENTS]
            yield pa.RecordBatch.from_arrays(columns, schema=DOCUMENTS)


def split_into_arms(batches: Iterator[pa.RecordBatch], arms: Sequence[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Parts chosen documents into their arms.

    Args:
        batches: the columns of DATASET, and for each arm a boolean column of its name.
        arms: their names.

    Yields:
        (``datasets/<arm>``, batch in DATASET).
    """
    for batch in batches:
        for arm in arms:
            of_arm = batch.filter(batch.column(arm))
            if of_arm.num_rows:
                columns = [of_arm.column(field.name).cast(field.type) for field in DATASET]
                yield f"datasets/{arm}", pa.RecordBatch.from_arrays(columns, schema=DATASET)
