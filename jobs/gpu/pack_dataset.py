"""Packs a ``datasets/<arm>`` table at a pinned version into a memory-mapped token file, and the held-out part.

    python -m jobs.gpu.pack_dataset --config conf/demo-model.toml --set packing.arm=pivot [--set packing.version=3]

Writes ``<results.path>/packed/<arm>/`` for training and, once for all arms, ``<results.path>/packed/held_out/`` from
the table ``documents``: documents by language, to measure bits per byte on. No held-out document is in any arm.
Tokens are the table's own: nothing is tokenized again. Sequences of any length are cut from the file when training.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

from jobs.gpu.errors import PackedFileError
from jobs.gpu.packed_file import PackedWriter, token_dtype
from jobs.gpu.read_tables import PinnedTable, check_files, open_table
from jobs.gpu.run_job import results_path, run_job, say
from jobs.gpu.select_documents import (
    Selection,
    batches,
    held_out,
    key_hashes,
    select_held_out,
    select_training,
)
from jobs.gpu.settings import ModelSettings
from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenizer_backends import TokenizerSpec, load_tokenizer, vocabulary

_END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")


def pack(settings: ModelSettings) -> None:
    """Packs ``packing.arm``, and the held-out part where it is not there yet."""
    tokenizer = load_tokenizer(settings.tokenizer.path)
    pack_arm(settings, tokenizer)
    if not _held_out_fits(settings, tokenizer):
        pack_held_out(settings, tokenizer)


def _held_out_fits(settings: ModelSettings, tokenizer: TokenizerSpec) -> bool:
    path = held_out_folder(settings) / "manifest.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    wanted = settings.packing.model_dump(include={"held_out_share", "held_out_tokens"})
    wanted |= {"tokenizer_sha256": tokenizer.sha256}
    return all(found.get(name) == value for name, value in wanted.items())


def packed_folder(settings: ModelSettings) -> Path:
    """Where the packed file of ``packing.arm`` lies."""
    return results_path(settings, "packed", settings.packing.arm)


def held_out_folder(settings: ModelSettings) -> Path:
    """Where the held-out part lies."""
    return results_path(settings, "packed", "held_out")


def pack_arm(settings: ModelSettings, tokenizer: TokenizerSpec) -> dict[str, Any]:
    """Packs the arm's training part; gives the manifest."""
    packing = settings.packing
    version = None if packing.version < 0 else packing.version
    pinned = open_table(settings.warehouse.path, f"datasets/{packing.arm}", version)
    check_files(pinned, tokenizer.sha256)
    chosen = select_training(pinned, packing.seed, packing.held_out_share, packing.token_budget)
    made_by = {"arm": packing.arm, "seed": packing.seed, "token_budget": packing.token_budget}
    salt = f"order {packing.seed}".encode()
    manifest = _write(pinned, chosen, packed_folder(settings), tokenizer, settings, made_by, salt)
    if packing.token_budget > manifest["n_tokens"]:
        say("the arm has fewer tokens than packing.token_budget", tokens=manifest["n_tokens"])
    return manifest


def pack_held_out(settings: ModelSettings, tokenizer: TokenizerSpec) -> dict[str, Any]:
    """Packs the held-out documents of the whole corpus, by language; gives the manifest."""
    packing = settings.packing
    if not packing.held_out_share:
        raise PackedFileError("packing.held_out_share = 0: there is nothing to measure bits per byte on; raise it")
    pinned = open_table(settings.warehouse.path, "documents")
    check_files(pinned, tokenizer.sha256)
    chosen = select_held_out(pinned, packing.held_out_share, packing.held_out_tokens)
    made_by = {"arm": "held_out", "held_out_tokens": packing.held_out_tokens}
    return _write(pinned, chosen, held_out_folder(settings), tokenizer, settings, made_by, b"held out")


def _write(
    pinned: PinnedTable,
    chosen: Selection,
    folder: Path,
    tokenizer: TokenizerSpec,
    settings: ModelSettings,
    made_by: dict[str, Any],
    salt: bytes,
) -> dict[str, Any]:
    if not len(chosen.hashes):
        raise PackedFileError(f"{pinned.name} version {pinned.version} has no document to pack: rebuild it")
    size, end_id = vocabulary(tokenizer).size, _end_token(tokenizer, settings.packing.end_token)
    writer = PackedWriter(folder, chosen.lengths, token_dtype(size))
    n_bytes = np.zeros(len(chosen.lengths), np.int64)
    share, is_held_out = settings.packing.held_out_share, made_by["arm"] == "held_out"
    taken = np.zeros(len(chosen.hashes), bool)
    columns = ["source", "doc_id", "token_ids", *(["text"] if is_held_out else [])]
    with tqdm(total=len(chosen.lengths), desc=f"packing {made_by['arm']}", unit="document") as bar:
        for batch in batches(pinned, columns):
            rows = np.flatnonzero(held_out(batch, share) == is_held_out)
            found = _places(chosen, key_hashes(batch, salt)[rows], taken)
            _put(writer, batch, rows[found >= 0], found[found >= 0], size, end_id)
            if is_held_out:
                n_bytes[found[found >= 0]] = _text_bytes(batch)[rows[found >= 0]]
            bar.update(int((found >= 0).sum()))
    whole = made_by | {
        "table": pinned.name,
        "table_version": pinned.version,
        "table_fingerprint": pinned.made_by.get("fingerprint", ""),
        "tokenizer_sha256": tokenizer.sha256,
        "held_out_share": share,
        "end_id": end_id,
        "languages": _by_language(chosen, n_bytes),
    }
    manifest = writer.finish(whole)
    say(f"packed {made_by['arm']}", documents=manifest["n_documents"], tokens=manifest["n_tokens"])
    return manifest


def _places(chosen: Selection, hashes: NDArray[np.uint64], taken: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The place of each hash, -1 where it is not chosen; equal keys take their places in turn."""
    first = np.searchsorted(chosen.hashes, hashes)
    found = np.full(len(hashes), -1, np.int64)
    for row, (index, value) in enumerate(zip(first.tolist(), hashes.tolist(), strict=True)):
        while index < len(taken) and taken[index] and chosen.hashes[index] == value:
            index += 1
        if index < len(taken) and chosen.hashes[index] == value:
            taken[index] = True
            found[row] = chosen.places[index]
    return found


def _put(
    writer: PackedWriter,
    batch: pa.RecordBatch,
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    size: int,
    end_id: int,
) -> None:
    lists = batch["token_ids"]
    offsets, values = np.asarray(lists.offsets), np.asarray(lists.values)
    for row, place in zip(rows.tolist(), places.tolist(), strict=True):
        ids = values[offsets[row] : offsets[row + 1]]
        if len(ids) and not (ids.min() >= 0 and ids.max() < size):
            raise TokenizerError(
                f"a document holds token id {ids.max()}, the tokenizer has {size}: set tokenizer.path to the table's"
            )
        writer.put(place, ids, end_id)


def _text_bytes(batch: pa.RecordBatch) -> NDArray[np.int64]:
    return np.asarray(pc.binary_length(batch["text"].cast(pa.binary())), np.int64)


def _by_language(chosen: Selection, n_bytes: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Per language: documents, tokens and (held out) bytes, and in held-out order the first document's place."""
    languages = np.asarray(chosen.languages)
    found = {}
    for language in sorted(set(chosen.languages)):
        rows = np.flatnonzero(languages == language)
        found[language] = {
            "n_documents": len(rows),
            "n_tokens": int(chosen.lengths[rows].sum()),
            "n_bytes": int(n_bytes[rows].sum()),
            "first_document": int(rows[0]),
        }
    return found


def _end_token(tokenizer: TokenizerSpec, name: str) -> int:
    words = vocabulary(tokenizer)
    special = {words.texts[index]: index for index in words.special_ids}
    for candidate in (name,) if name else _END_TOKENS:
        if candidate in special:
            return special[candidate]
    raise TokenizerError(
        f"{name or 'none of the usual end tokens'} is no special token of the tokenizer, it has "
        f"{', '.join(sorted(special))}: set packing.end_token"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The job; see the module's docstring."""
    return run_job(pack, __doc__ or "", argv)


if __name__ == "__main__":
    raise SystemExit(main())
