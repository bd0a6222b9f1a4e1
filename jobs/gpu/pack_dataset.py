"""Packs a ``datasets/<arm>`` table at a pinned version into a memory-mapped token file, and the held-out part.

    python -m jobs.gpu.pack_dataset --config conf/demo-model.toml --set packing.arm=pivot [--set packing.version=3]

Writes ``<results.path>/packed/<arm>/`` for training and, once for all arms, ``<results.path>/packed/held_out/`` from
the table ``documents``: documents by language, to measure bits per byte on. No held-out document is in any arm.
Tokens are the table's own: nothing is tokenized again. Sequences of any length are cut from the file when training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

from jobs.gpu.common.errors import PackedFileError
from jobs.gpu.common.read_tables import PinnedTable, check_files, open_table
from jobs.gpu.common.run_job import results_path, run_job, say
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.packing.order_documents import Selection, batches, select_held_out, select_training
from jobs.gpu.packing.packed_file import PackedWriter, open_packed, token_dtype
from pivot_udfs.errors import TokenizerError, WarehouseError
from pivot_udfs.tokenization.backends import TokenizerSpec, load_tokenizer
from pivot_udfs.tokenization.vocabulary import vocabulary

_END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")


def pack(settings: ModelSettings) -> None:
    """Packs ``packing.arm``, and the held-out part where it is not there yet."""
    tokenizer = load_tokenizer(settings.tokenizer.path)
    pack_arm(settings, tokenizer)
    if not _holds(held_out_folder(settings), _held_out_identity(settings, tokenizer)):
        pack_held_out(settings, tokenizer)


def pack_if_needed(settings: ModelSettings) -> None:
    """Packs unless ``is_packed``."""
    if not is_packed(settings):
        pack(settings)


def is_packed(settings: ModelSettings) -> bool:
    """Whether ``packing.arm`` at its version and the held-out part are packed with these settings, and undamaged."""
    tokenizer = load_tokenizer(settings.tokenizer.path)
    of_arm = _arm_identity(settings, tokenizer) | _table_identity(settings)
    return _holds(packed_folder(settings), of_arm) and _holds(
        held_out_folder(settings), _held_out_identity(settings, tokenizer)
    )


def _table_identity(settings: ModelSettings) -> dict[str, Any]:
    """Which table the arm is; where its version is pinned the table need not be there any more."""
    packing = settings.packing
    if packing.version >= 0:
        return {"table_version": packing.version}
    newest = open_table(settings.warehouse.path, f"datasets/{packing.arm}")
    return {"table_version": newest.version, "table_fingerprint": newest.made_by.get("fingerprint", "")}


def _holds(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether a whole packed file lies there whose manifest says all this; one that is damaged is spoken of."""
    try:
        found = open_packed(folder).manifest if folder.is_dir() else {}
    except PackedFileError as error:
        say(str(error))
        return False
    return all(name in found and found[name] == value for name, value in wanted.items())


def _arm_identity(settings: ModelSettings, tokenizer: TokenizerSpec) -> dict[str, Any]:
    """What a packed arm is made from, beside its table's version."""
    chosen = settings.packing.model_dump(include={"arm", "seed", "token_budget"})
    return chosen | _common_identity(settings, tokenizer)


def _held_out_identity(settings: ModelSettings, tokenizer: TokenizerSpec) -> dict[str, Any]:
    """What the held-out part is made from; not the version of ``documents``, so that all arms share one."""
    chosen = {"arm": "held_out", "held_out_tokens": settings.packing.held_out_tokens}
    return chosen | _common_identity(settings, tokenizer)


def _common_identity(settings: ModelSettings, tokenizer: TokenizerSpec) -> dict[str, Any]:
    return {
        "tokenizer_sha256": tokenizer.sha256,
        "held_out_share": settings.packing.held_out_share,
        "end_id": _end_token(tokenizer, settings.packing.end_token),
    }


def packed_folder(settings: ModelSettings) -> Path:
    """Where the packed file of ``packing.arm`` lies."""
    return results_path(settings, "packed", settings.packing.arm)


def held_out_folder(settings: ModelSettings) -> Path:
    """Where the held-out part lies."""
    return results_path(settings, "packed", "held_out")


def pack_arm(settings: ModelSettings, tokenizer: TokenizerSpec) -> dict[str, Any]:
    """Packs the arm's training part; gives the manifest."""
    packing, made_by = settings.packing, _arm_identity(settings, tokenizer)
    version = None if packing.version < 0 else packing.version
    pinned = open_table(settings.warehouse.path, f"datasets/{packing.arm}", version)
    check_files(pinned, tokenizer.sha256)
    chosen = select_training(pinned, packing.seed, packing.held_out_share, packing.token_budget)
    manifest = _write(pinned, chosen, packed_folder(settings), vocabulary(tokenizer).size, made_by)
    if packing.token_budget > manifest["n_tokens"]:
        say("the arm has fewer tokens than packing.token_budget", tokens=manifest["n_tokens"])
    return manifest


def pack_held_out(settings: ModelSettings, tokenizer: TokenizerSpec) -> dict[str, Any]:
    """Packs the held-out documents of the whole corpus, by language; gives the manifest."""
    packing, made_by = settings.packing, _held_out_identity(settings, tokenizer)
    if not packing.held_out_share:
        raise PackedFileError("packing.held_out_share = 0: there is nothing to measure bits per byte on; raise it")
    pinned = open_table(settings.warehouse.path, "documents")
    check_files(pinned, tokenizer.sha256)
    chosen = select_held_out(pinned, packing.held_out_share, packing.held_out_tokens)
    return _write(pinned, chosen, held_out_folder(settings), vocabulary(tokenizer).size, made_by)


def _write(
    pinned: PinnedTable, chosen: Selection, folder: Path, vocabulary_size: int, made_by: dict[str, Any]
) -> dict[str, Any]:
    """Packs the chosen documents; bytes of their texts are counted for the held-out part only."""
    if not len(chosen.lengths):
        raise PackedFileError(f"{pinned.name} version {pinned.version} has no document to pack: rebuild it")
    arm = made_by["arm"]
    writer = PackedWriter(folder, chosen.lengths, token_dtype(vocabulary_size), made_by["end_id"])
    n_bytes, row = np.zeros(len(chosen.lengths), np.int64), 0
    with tqdm(total=len(chosen.lengths), desc=f"packing {arm}", unit="document") as bar:
        for batch in batches(pinned, ["token_ids", *(["text"] if arm == "held_out" else [])]):
            here = slice(row, row := row + len(batch))
            places = chosen.places[here]
            _put(writer, batch, places, chosen.n_tokens[here], vocabulary_size)
            if arm == "held_out":
                n_bytes[places[places >= 0]] = _text_bytes(batch)[places >= 0]
            bar.update(int((places >= 0).sum()))
    whole = made_by | {
        "table": pinned.name,
        "table_version": pinned.version,
        "table_fingerprint": pinned.made_by.get("fingerprint", ""),
        "languages": _by_language(chosen, n_bytes),
    }
    manifest = writer.finish(whole)
    say(f"packed {arm}", documents=manifest["n_documents"], tokens=manifest["n_tokens"])
    return manifest


def _put(
    writer: PackedWriter,
    batch: pa.RecordBatch,
    places: NDArray[np.int64],
    n_tokens: NDArray[np.int64],
    vocabulary_size: int,
) -> None:
    """Writes a batch's documents to their places.

    Raises:
        WarehouseError: a document has not as many token ids as its row says.
        TokenizerError: an id is none of the tokenizer's.
    """
    lists = batch["token_ids"]
    ids = lists.values.fill_null(-1) if lists.values.null_count else lists.values
    offsets = np.asarray(lists.offsets)
    wrong = np.flatnonzero(np.diff(offsets) != n_tokens)
    if len(wrong):
        found, said = np.diff(offsets)[wrong[0]], n_tokens[wrong[0]]
        raise WarehouseError(f"a document holds {found} token ids, its n_tokens is {said}: rebuild the table")
    highest = writer.put(places, offsets, np.asarray(ids))
    if highest >= vocabulary_size:
        bad = np.uint32(highest).astype(np.int32)
        raise TokenizerError(
            f"a document holds token id {bad}, the tokenizer has {vocabulary_size}: set tokenizer.path to the table's"
        )


def _text_bytes(batch: pa.RecordBatch) -> NDArray[np.int64]:
    return np.asarray(pc.binary_length(batch["text"].cast(pa.binary())), np.int64)


def _by_language(chosen: Selection, n_bytes: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Per language: documents, tokens and (held out) bytes, and in held-out order the first document's place."""
    found = {}
    for code, language in enumerate(chosen.language_names):
        rows = np.flatnonzero(chosen.languages == code)
        if len(rows):
            found[language] = {
                "n_documents": len(rows),
                "n_tokens": int(chosen.lengths[rows].sum()),
                "n_bytes": int(n_bytes[rows].sum()),
                "first_document": int(rows[0]),
            }
    return dict(sorted(found.items()))


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
