"""Splits the documents into those to train on and those to hold out, and orders both.

Both depend only on hashes of a document's key (source, doc_id): the files of the table and their order do not matter,
and a held-out document is held out of every arm. A selection is a data frame in the order of the packed file: its index
is the row of the table, in the order of ``batches``; ``lang``; ``length``: tokens that are packed, the end token
included.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.gpu.common.read_tables import PinnedTable, reading

_HELD_OUT = b"held out"


def batches(pinned: PinnedTable, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Streams the rows of the table, in the same order every time.

    Raises WarehouseError where files of this version were vacuumed.
    """
    with reading(pinned):
        yield from pinned.dataset.to_batches(columns=columns, batch_size=4096)


def select_training(pinned: PinnedTable, seed: int, share: float, token_budget: int) -> pd.DataFrame:
    """All documents that are not held out, shuffled by seed, cut at the token budget (0: no limit)."""
    rows = _read_rows(pinned, f"order {seed}".encode(), share)
    rows = rows[~rows["held_out"]].sort_values("order", kind="stable")
    ends = np.cumsum(rows["length"].to_numpy())
    rows = rows.assign(length=np.diff(np.minimum(ends, token_budget) if token_budget else ends, prepend=0))
    return rows[rows["length"] > 0]


def select_held_out(pinned: PinnedTable, share: float, tokens_per_language: int) -> pd.DataFrame:
    """Held-out documents, language by language, complete ones only, up to a number of tokens per language.

    They are taken in the order of their hashes; documents that do not fit are skipped. If no document of a language
    fits, its shortest is taken.
    """
    rows = _read_rows(pinned, _HELD_OUT, share)
    rows = rows[rows["held_out"]].sort_values("order", kind="stable")
    chosen = [row for _, found in rows.groupby("lang") for row in _that_fit(found["length"], tokens_per_language)]
    return rows.loc[chosen]


def _that_fit(lengths: pd.Series, budget: int) -> list[int]:
    """The rows that fit when taken in turn; the shortest if none does."""
    taken = []
    for row, length in lengths.items():
        if length <= budget:
            taken.append(row)
            budget -= length
    return taken or [lengths.idxmin()]


def _read_rows(pinned: PinnedTable, salt: bytes, share: float) -> pd.DataFrame:
    """All rows in the order of the table: ``order`` (a hash of the key by ``salt``), held_out, lang, length."""
    limit = np.uint64(int(share * float(2**63)) * 2)
    parts = [pd.DataFrame({"order": _hashes([], salt), "held_out": False, "lang": "", "length": np.int64(0)})]
    for batch in batches(pinned, ["source", "doc_id", "lang", "n_tokens"]):
        joined = pc.binary_join_element_wise(  # type: ignore[call-overload] # by the stubs the separator is an array too
            batch["source"], batch["doc_id"], "\0", null_handling="replace", null_replacement="None"
        )
        keys = joined.cast(pa.binary()).to_pylist()
        columns = {"order": _hashes(keys, salt), "held_out": _hashes(keys, _HELD_OUT) < limit}
        lengths = np.asarray(batch["n_tokens"], np.int64) + 1
        parts.append(pd.DataFrame(columns | {"lang": batch["lang"].to_pylist(), "length": lengths}))
    return pd.concat(parts, ignore_index=True)


def _hashes(keys: list[bytes], salt: bytes) -> NDArray[np.uint64]:
    """For each key a 64-bit hash, uniform over uint64."""
    return np.frombuffer(b"".join([hashlib.blake2b(key, digest_size=8, key=salt).digest() for key in keys]), "<u8")
