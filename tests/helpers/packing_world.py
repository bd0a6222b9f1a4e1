"""What the tests of packing share: a small world whose arm and documents can be packed."""

from pathlib import Path
from typing import Any

import numpy as np
from small_world import make_world, write_table

from jobs.gpu import pack_dataset
from jobs.gpu.packing.packed_file import open_packed
from pivot_udfs.tokenization.backends import encoder, load_tokenizer

LANGUAGES = ("en", "fr", "zh")


def dataset_rows(tokenizer: Path, n: int = 120) -> list[dict[str, Any]]:
    """Rows of ``documents`` and ``datasets/<arm>``, of three languages."""
    encode = encoder(load_tokenizer(str(tokenizer)))
    rows = []
    for k in range(n):
        text = f"document {k} " + "水 eau water " * (k % 7 + 1)
        ids = encode([text])[0].tolist()
        row = {"source": "s", "doc_id": str(k), "lang": LANGUAGES[k % 3], "text": text, "token_ids": ids}
        rows.append(
            row | {"n_tokens": len(ids), "pivot_density": 0.5, "shrunken_density": 0.5, "shard": "x", "record": k}
        )
    return rows


def make_packing_world(folder: Path) -> Path:
    """``documents`` and ``datasets/pivot`` with the same rows; gives the configuration's path."""
    config = make_world(folder, packing={"held_out_share": 0.2})
    rows = dataset_rows(folder / "tokenizer.json")
    for name in ("documents", "datasets/pivot"):
        write_table(folder / "warehouse", name, rows, folder / "tokenizer.json")
    return config


def run_packing(config: Path, *overrides: str) -> int:
    """The job's exit code."""
    return pack_dataset.main(["--config", str(config), *(x for o in overrides for x in ("--set", o))])


def packed_documents(folder: Path) -> list[tuple[int, ...]]:
    """The ids of every document, the end token included."""
    packed = open_packed(folder)
    ends = np.flatnonzero(packed.tokens == packed.manifest["end_id"]) + 1
    return [tuple(ids.tolist()) for ids in np.split(packed.tokens, ends)[: packed.manifest["n_documents"]]]


def tokens_file(folder: Path) -> Path:
    """The one file of tokens in a packed file's folder."""
    (path,) = folder.glob("tokens*")
    return path
