"""Packs the ``datasets/<arm>`` table of a release into a memory-mapped token file, and the held-out part.

    python -m jobs.gpu.pack_dataset --config conf/demo-model.toml --set packing.arm=pivot

Writes ``<results.path>/packed/<arm>/`` for training and, once for all arms, ``<results.path>/packed/held_out/`` from
the table ``documents``: documents by language, to measure bits per byte on. No held-out document is in any arm.
Token ids are read from the table, nothing is tokenized again. Training cuts the file into sequences of any length.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.framework.log_lines import progress_bar, say
from jobs.gpu.common.check_inputs import check_tables, check_tokenizer, run_checked
from jobs.gpu.common.files import results_path
from jobs.gpu.common.read_tables import PinnedTable, block_list, check_files, may_hold_forgotten, open_table
from jobs.gpu.common.settings import ModelSettings
from jobs.gpu.models.special_tokens import special_tokens
from jobs.gpu.packing.packed_file import PackedFile, PackedWriter, open_packed, token_dtype
from jobs.gpu.packing.split_held_out import batches, select_held_out, select_training
from pivot_udfs.errors import PackedFileError, TokenizerError, WarehouseError
from pivot_udfs.provenance import Provenance, difference
from pivot_udfs.storage.typed_columns import typed_column
from pivot_udfs.tokenization.backends import TokenizerSpec, load_tokenizer
from pivot_udfs.tokenization.vocabulary import vocabulary

VERSION = 1
_END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")


def pack(settings: ModelSettings) -> None:
    """Packs ``packing.arm``, and the held-out part unless it is up to date."""
    tokenizer = load_tokenizer(settings.tokenizer.path, "reference")
    pack_arm(settings, tokenizer)
    if not _held_out_is_current(settings, tokenizer):
        pack_held_out(settings, tokenizer)


def pack_if_needed(settings: ModelSettings) -> None:
    """Packs unless ``is_packed``."""
    if not is_packed(settings):
        pack(settings)


def is_packed(settings: ModelSettings) -> bool:
    """Whether ``packing.arm`` and the held-out part are packed with these settings and undamaged."""
    tokenizer, made = load_tokenizer(settings.tokenizer.path, "reference"), _open(packed_folder(settings))
    if made is None or not _held_out_is_current(settings, tokenizer):
        return False
    table = open_table(settings.warehouse.path, f"datasets/{settings.packing.arm}", settings.warehouse.release)
    now = _provenance(settings, tokenizer, settings.packing.arm, ("seed", "token_budget"))
    return difference(made.provenance, replace(now, tables={table.name: table.rows})) is None


def _held_out_is_current(settings: ModelSettings, tokenizer: TokenizerSpec) -> bool:
    """Whether the held-out part is packed; a newer version of ``documents`` does not replace it: all arms share it.

    A forgetting of documents that it may hold does.
    """
    made = _open(held_out_folder(settings))
    now = _provenance(settings, tokenizer, "held_out", ("held_out_tokens",))
    if made is None or difference(replace(made.provenance, tables={}), now):
        return False
    if may_hold_forgotten(settings.warehouse.path, made.provenance):
        say("the held-out part may hold documents that were forgotten since")
        return False
    return True


def _open(folder: Path) -> PackedFile | None:
    """The packed file in a folder; None if there is none, or, after a message, if it is damaged."""
    try:
        return open_packed(folder) if folder.is_dir() else None
    except PackedFileError as error:
        say(str(error))
        return None


def _provenance(settings: ModelSettings, tokenizer: TokenizerSpec, arm: str, keys: Sequence[str]) -> Provenance:
    """What a packed file is made from, except its table; ``keys`` of ``[packing]`` and those of both parts count."""
    chosen = settings.packing.model_dump(include={"held_out_share", *keys})
    chosen |= {"arm": arm, "end_id": _end_token(tokenizer, settings.packing.end_token)}
    named = {f"packing.{key}": value for key, value in chosen.items()}
    return Provenance("pack_dataset", VERSION, named, files={"tokenizer": tokenizer.sha256})


def packed_folder(settings: ModelSettings) -> Path:
    """Folder of the packed file of ``packing.arm``."""
    return results_path(settings, "packed", settings.packing.arm)


def held_out_folder(settings: ModelSettings) -> Path:
    """Folder of the held-out part."""
    return results_path(settings, "packed", "held_out")


def pack_arm(settings: ModelSettings, tokenizer: TokenizerSpec) -> dict[str, Any]:
    """Packs the arm's training part; returns the manifest."""
    packing = settings.packing
    pinned = open_table(settings.warehouse.path, f"datasets/{packing.arm}", settings.warehouse.release)
    check_files(pinned, tokenizer.sha256)
    chosen = select_training(pinned, packing.seed, packing.held_out_share, packing.token_budget)
    made_from = _provenance(settings, tokenizer, packing.arm, ("seed", "token_budget"))
    manifest = _write(pinned, chosen, packed_folder(settings), vocabulary(tokenizer).size, made_from)
    if packing.token_budget > manifest["n_tokens"]:
        say("the arm has fewer tokens than packing.token_budget", tokens=manifest["n_tokens"])
    return manifest


def pack_held_out(settings: ModelSettings, tokenizer: TokenizerSpec) -> dict[str, Any]:
    """Packs the held-out documents of the whole corpus, by language; returns the manifest."""
    packing = settings.packing
    if not packing.held_out_share:
        raise PackedFileError("packing.held_out_share = 0: no documents to measure bits per byte on; raise it")
    blocked = block_list(settings.warehouse.path)
    pinned = open_table(settings.warehouse.path, "documents", settings.warehouse.release)
    check_files(pinned, tokenizer.sha256)
    chosen = select_held_out(pinned, packing.held_out_share, packing.held_out_tokens)
    made_from = replace(_provenance(settings, tokenizer, "held_out", ("held_out_tokens",)), tables=blocked)
    return _write(pinned, chosen, held_out_folder(settings), vocabulary(tokenizer).size, made_from)


def _write(
    pinned: PinnedTable, chosen: pd.DataFrame, folder: Path, vocabulary_size: int, made_from: Provenance
) -> dict[str, Any]:
    """Packs the chosen documents; the bytes of their texts are counted for the held-out part only."""
    if chosen.empty:
        raise PackedFileError(f"{pinned.name} version {pinned.version} has no document to pack: rebuild it")
    arm, end_id = made_from.settings["packing.arm"], made_from.settings["packing.end_id"]
    writer = PackedWriter(folder, chosen["length"].to_numpy(), token_dtype(vocabulary_size), end_id)
    place_of_row, row = pd.Series(np.arange(len(chosen)), chosen.index), 0
    n_bytes = np.zeros(len(chosen), np.int64)
    with progress_bar(total=len(chosen), desc=f"packing {arm}", unit="document") as bar:
        for batch in batches(pinned, ["token_ids", "n_tokens", *(["text"] if arm == "held_out" else [])]):
            places = place_of_row.reindex(range(row, row := row + len(batch)), fill_value=-1).to_numpy()
            _put(writer, batch, places, vocabulary_size)
            if arm == "held_out":
                of_texts = np.asarray(pc.binary_length(typed_column(batch, "text", pa.StringArray)))
                n_bytes[places[places >= 0]] = of_texts[places >= 0]
            bar.update(int((places >= 0).sum()))
    manifest = writer.finish(
        {
            "provenance": replace(made_from, tables={**made_from.tables, pinned.name: pinned.rows}).to_tree(),
            "warehouse_release": pinned.release,
            "end_id": end_id,
            "languages": _by_language(chosen, n_bytes),
        }
    )
    say(f"packed {arm}", documents=manifest["n_documents"], tokens=manifest["n_tokens"])
    return manifest


def _put(writer: PackedWriter, batch: pa.RecordBatch, places: NDArray[np.int64], vocabulary_size: int) -> None:
    """Writes the documents of a batch to their places; raises where their ids are too few or many, or unknown."""
    lists, n_tokens = typed_column(batch, "token_ids", pa.ListArray), np.asarray(batch["n_tokens"])
    ids, offsets = np.asarray(lists.values.fill_null(-1)), np.asarray(lists.offsets)
    wrong = np.flatnonzero(np.diff(offsets) != n_tokens)
    if len(wrong):
        found, expected = np.diff(offsets)[wrong[0]], n_tokens[wrong[0]]
        raise WarehouseError(f"a document holds {found} token ids, its n_tokens is {expected}: rebuild the table")
    ids_read = ids[offsets[0] : offsets[-1]]
    outside = ids_read[(ids_read < 0) | (ids_read >= vocabulary_size)]
    if len(outside):
        raise TokenizerError(
            f"a document holds token id {outside[0]}, the tokenizer has {vocabulary_size}: set tokenizer.path to the "
            "table's"
        )
    for row in np.flatnonzero(places >= 0):
        writer.put(places[row], ids[offsets[row] : offsets[row + 1]])


def _by_language(chosen: pd.DataFrame, n_bytes: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Per language: documents, tokens, and bytes (held-out part only)."""
    found = chosen.assign(n_bytes=n_bytes).groupby("lang")
    sums = found.agg(n_documents=("length", "size"), n_tokens=("length", "sum"), n_bytes=("n_bytes", "sum"))
    return {str(language): {key: int(n) for key, n in row.items()} for language, row in sums.iterrows()}


def _end_token(tokenizer: TokenizerSpec, name: str) -> int:
    special = special_tokens(tokenizer)
    for candidate in (name,) if name else _END_TOKENS:
        if candidate in special:
            return special[candidate]
    raise TokenizerError(
        f"{name or 'none of the usual end tokens'} is not a special token of the tokenizer, which has "
        f"{', '.join(sorted(special))}: set packing.end_token"
    )


def check(settings: ModelSettings) -> list[str]:
    """The tables of the arm and of the held-out part."""
    tables = f"datasets/{settings.packing.arm}", "documents"
    return [*check_tokenizer(settings), *check_tables(settings, *tables, with_lexicon=False)]


main = partial(run_checked, "pack_dataset", __doc__, pack, check, reads_release=True)


if __name__ == "__main__":
    raise SystemExit(main())
