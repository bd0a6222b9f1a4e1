"""Which documents of a table are packed, in which order, and which are held out.

Both go by hashes of a document's key (source, doc_id) alone, so that neither the table's files nor their order
matter, and a document that is held out is held out of every arm.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from deltalake.exceptions import DeltaError
from numpy.typing import NDArray

from jobs.gpu.read_tables import PinnedTable, vacuumed

_KEY = ["source", "doc_id"]
_HELD_OUT = b"held out"


@dataclass(frozen=True, eq=False)
class Selection:
    """Documents to pack.

    Attributes:
        hashes: uint64 (documents,), ascending: the order hash of each.
        places: int64 (documents,): each one's place in the packed file.
        lengths: int64 (documents,): tokens by place, the end token included.
        languages: by place.
    """

    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]
    lengths: NDArray[np.int64]
    languages: list[str]


def key_hashes(batch: pa.RecordBatch | pa.Table, salt: bytes) -> NDArray[np.uint64]:
    """A 64-bit hash of each row's key, uniform over uint64, other for another salt."""
    keys = zip(batch["source"].to_pylist(), batch["doc_id"].to_pylist(), strict=True)
    raw = b"".join(
        hashlib.blake2b(f"{source}\x00{doc_id}".encode(), digest_size=8, key=salt).digest() for source, doc_id in keys
    )
    return np.frombuffer(raw, "<u8")


def held_out(batch: pa.RecordBatch | pa.Table, share: float) -> NDArray[np.bool_]:
    """Which rows are kept out of training, whatever the arm and the seed."""
    return key_hashes(batch, _HELD_OUT) < np.uint64(int(share * float(2**63)) * 2)


def batches(pinned: PinnedTable, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The table's rows, streamed.

    Raises:
        WarehouseError: files of this version were vacuumed.
    """
    try:
        yield from pinned.table.to_pyarrow_dataset().to_batches(columns=columns, batch_size=4096)
    except (OSError, DeltaError) as error:
        raise vacuumed(pinned, error) from None


def select_training(pinned: PinnedTable, seed: int, share: float, token_budget: int) -> Selection:
    """All documents that are not held out, shuffled by seed, cut at the token budget (0: none)."""
    found = _keys(pinned, f"order {seed}".encode(), share, want_held_out=False)
    order = np.argsort(found.hashes, kind="stable")
    lengths = found.lengths[order] + 1
    if token_budget and lengths.sum() > token_budget:
        n = int(np.searchsorted(np.cumsum(lengths), token_budget)) + 1
        order, lengths = order[:n], lengths[:n].copy()
        lengths[-1] -= lengths.sum() - token_budget
    places = np.arange(len(order))
    return Selection(found.hashes[order], places, lengths, [found.languages[k] for k in order])


def select_held_out(pinned: PinnedTable, share: float, tokens_per_language: int) -> Selection:
    """Held-out documents, language by language, whole ones only, up to so many tokens of each language.

    Taken in the order of their hashes; one that does not fit any more is passed over. A language none of whose
    documents fits has its shortest.
    """
    found = _keys(pinned, _HELD_OUT, share, want_held_out=True)
    chosen: list[int] = []
    for language in sorted(set(found.languages)):
        rows = [int(k) for k in np.argsort(found.hashes, kind="stable") if found.languages[k] == language]
        left, taken = tokens_per_language, []
        for row in rows:
            if found.lengths[row] + 1 <= left:
                taken.append(row)
                left -= int(found.lengths[row]) + 1
        chosen += taken or [min(rows, key=lambda row: int(found.lengths[row]))]
    hashes = found.hashes[chosen]
    order = np.argsort(hashes, kind="stable")
    lengths = found.lengths[chosen] + 1
    return Selection(hashes[order], order, lengths, [found.languages[k] for k in chosen])


@dataclass(frozen=True, eq=False)
class _Keys:
    hashes: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    languages: list[str]


def _keys(pinned: PinnedTable, salt: bytes, share: float, want_held_out: bool) -> _Keys:
    hashes, lengths, languages = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], []
    for batch in batches(pinned, [*_KEY, "lang", "n_tokens"]):
        kept = held_out(batch, share) == want_held_out
        hashes.append(key_hashes(batch, salt)[kept])
        lengths.append(np.asarray(batch["n_tokens"])[kept])
        names = batch["lang"].to_pylist()
        languages += [names[k] for k in np.flatnonzero(kept)]
    return _Keys(np.concatenate(hashes), np.concatenate(lengths), languages)
