"""Selects and orders the documents to pack, and the documents to hold out.

Both depend only on hashes of a document's key (source, doc_id): the files of the table and their order do not matter,
and a held-out document is held out of every arm.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.gpu.common.read_tables import PinnedTable, reading

_HELD_OUT = b"held out"


@dataclass(frozen=True, eq=False)
class Selection:
    """Documents to pack.

    Attributes:
        places: int64 (rows of the table,), in the order of ``batches``: position of each row in the packed file, -1
            if it is not selected.
        lengths: int64 (documents,): tokens by position in the packed file, including the end token.
        languages: int64 (documents,): by position in the packed file, indices into ``language_names``.
        language_names: the table's languages.
    """

    places: NDArray[np.int64]
    lengths: NDArray[np.int64]
    languages: NDArray[np.int64]
    language_names: list[str]


def key_hashes(batch: pa.RecordBatch, salts: list[bytes]) -> list[NDArray[np.uint64]]:
    """For every salt, a 64-bit hash of each row's key, uniform over uint64."""
    source, doc_id = batch["source"], batch["doc_id"]
    joined = pc.binary_join_element_wise(source, doc_id, "\0", null_handling="replace", null_replacement="None")
    keys = joined.cast(pa.binary()).to_pylist()
    digests = [b"".join([hashlib.blake2b(key, digest_size=8, key=salt).digest() for key in keys]) for salt in salts]
    return [np.frombuffer(found, "<u8") for found in digests]


def batches(pinned: PinnedTable, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Streams the rows of the table, in the same order every time.

    Raises:
        WarehouseError: files of this version were vacuumed.
    """
    with reading(pinned):
        yield from pinned.dataset.to_batches(columns=columns, batch_size=4096)


def select_training(pinned: PinnedTable, seed: int, share: float, token_budget: int) -> Selection:
    """All documents that are not held out, shuffled by seed, cut at the token budget (0: no limit)."""
    rows = _read_rows(pinned, f"order {seed}".encode(), share)
    order = _by_hash(rows, np.flatnonzero(~rows.held_out))
    ends = np.cumsum(rows.n_tokens[order] + 1)
    lengths = np.diff(np.minimum(ends, token_budget) if token_budget else ends, prepend=0)
    return _selection(rows, order[lengths > 0], lengths[lengths > 0])


def select_held_out(pinned: PinnedTable, share: float, tokens_per_language: int) -> Selection:
    """Held-out documents, language by language, complete ones only, up to a number of tokens per language.

    They are taken in the order of their hashes; documents that do not fit are skipped. If no document of a language
    fits, its shortest is taken.
    """
    rows = _read_rows(pinned, _HELD_OUT, share)
    ordered = _by_hash(rows, np.flatnonzero(rows.held_out))
    chosen = [np.zeros(0, np.int64)]
    for code in sorted(range(len(rows.language_names)), key=rows.language_names.__getitem__):
        of_language = ordered[rows.languages[ordered] == code]
        if len(of_language):
            chosen.append(of_language[_that_fit(rows.n_tokens[of_language] + 1, tokens_per_language)])
    order = np.concatenate(chosen)
    return _selection(rows, order, rows.n_tokens[order] + 1)


def _that_fit(lengths: NDArray[np.int64], budget: int) -> list[int]:
    """Indices of the documents that fit when taken in turn; the shortest if none does."""
    taken = []
    for index, length in enumerate(lengths.tolist()):
        if length <= budget:
            taken.append(index)
            budget -= length
    return taken or [int(np.argmin(lengths))]


@dataclass(frozen=True, eq=False)
class _Rows:
    """All rows of a table in reading order: order hash, whether held out, number of tokens, index of the language."""

    hashes: NDArray[np.uint64]
    held_out: NDArray[np.bool_]
    n_tokens: NDArray[np.int64]
    languages: NDArray[np.int64]
    language_names: list[str]


def _read_rows(pinned: PinnedTable, salt: bytes, share: float) -> _Rows:
    limit = np.uint64(int(share * float(2**63)) * 2)
    hashes, held_out = [np.zeros(0, np.uint64)], [np.zeros(0, np.bool_)]
    n_tokens, languages = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    codes: dict[str, int] = {}
    for batch in batches(pinned, ["source", "doc_id", "lang", "n_tokens"]):
        found = key_hashes(batch, [salt] if salt == _HELD_OUT else [salt, _HELD_OUT])
        hashes.append(found[0])
        held_out.append(found[-1] < limit)
        n_tokens.append(np.asarray(batch["n_tokens"], np.int64))
        encoded = batch["lang"].dictionary_encode()
        names = [codes.setdefault(name, len(codes)) for name in encoded.dictionary.to_pylist()]
        languages.append(np.asarray(names, np.int64)[np.asarray(encoded.indices)])
    whole = (np.concatenate(hashes), np.concatenate(held_out), np.concatenate(n_tokens), np.concatenate(languages))
    return _Rows(*whole, list(codes))


def _by_hash(rows: _Rows, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    return chosen[np.argsort(rows.hashes[chosen], kind="stable")]


def _selection(rows: _Rows, order: NDArray[np.int64], lengths: NDArray[np.int64]) -> Selection:
    """Selects the rows with the indices ``order``, in that order."""
    places = np.full(len(rows.n_tokens), -1, np.int64)
    places[order] = np.arange(len(order))
    return Selection(places, lengths, rows.languages[order], rows.language_names)
