"""The packed file: a dataset's tokens in one memory-mapped array, with its documents' places and a manifest.

A folder of three files. ``tokens.bin``: little-endian uint16 (uint32 for vocabularies over 65,536), documents one
after the other, each followed by the end token. ``boundaries.npy``: int64, where each document begins, and the end.
``manifest.json``: what it was made from, counts, and the SHA-256 of the other two. It is written last, so a folder
without it is an unfinished one.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.gpu.errors import PackedFileError
from jobs.gpu.run_job import write_json

FORMAT = 1
_BLOCK = 1 << 22


def token_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """The smallest dtype that holds every id."""
    return np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")


@dataclass(frozen=True, eq=False)
class PackedFile:
    """An opened packed file.

    Attributes:
        folder: where it lies.
        manifest: as written.
        tokens: (n_tokens,), memory-mapped, read-only.
        boundaries: int64 (n_documents + 1,); document k is tokens[boundaries[k] : boundaries[k + 1]], the end token
            last.
    """

    folder: Path
    manifest: dict[str, Any]
    tokens: NDArray[Any]
    boundaries: NDArray[np.int64]

    @property
    def sha256(self) -> str:
        """Identity of the contents: the hash of all tokens."""
        return str(self.manifest["files"]["tokens.bin"]["sha256"])

    def n_sequences(self, length: int) -> int:
        """How many sequences of ``length`` inputs (and as many shifted targets) the tokens hold."""
        return max(0, (len(self.tokens) - 1) // length)

    def sequences(self, indices: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Sequences by number: int64 (len(indices), length + 1); inputs are [:, :-1], targets [:, 1:]."""
        rows = [self.tokens[k * length : k * length + length + 1] for k in indices]
        return np.stack(rows).astype(np.int64)


class PackedWriter:
    """Fills a packed file document by document, in any order.

    Args:
        folder: created; an unfinished or older packed file in it is replaced.
        lengths: int64, tokens of each document in file order, the end token included.
        dtype: from ``token_dtype``.
    """

    def __init__(self, folder: Path, lengths: NDArray[np.int64], dtype: np.dtype[Any]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").unlink(missing_ok=True)
        self.boundaries = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        n_tokens = int(self.boundaries[-1])
        self._tokens = np.memmap(folder / "tokens.bin", dtype, "w+", shape=(n_tokens,))
        self._filled = np.zeros(len(lengths), bool)

    def put(self, place: int, ids: NDArray[Any], end_id: int) -> None:
        """Writes document number ``place``: as many of its ids as fit, then the end token where it fits."""
        start, end = int(self.boundaries[place]), int(self.boundaries[place + 1])
        kept = ids[: end - start]
        self._tokens[start : start + len(kept)] = kept
        if len(kept) < end - start:
            self._tokens[start + len(kept)] = end_id
        self._filled[place] = True

    def finish(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Flushes the files and writes the manifest; gives it.

        Raises:
            PackedFileError: a document was promised and never written.
        """
        if not self._filled.all():
            raise PackedFileError(f"{int((~self._filled).sum())} documents of {self._folder} were never written")
        self._tokens.flush()
        np.save(self._folder / "boundaries.npy", self.boundaries)
        files = {name: _described(self._folder / name) for name in ("tokens.bin", "boundaries.npy")}
        n_documents = len(self.boundaries) - 1
        whole = manifest | {
            "format": FORMAT,
            "dtype": self._tokens.dtype.str,
            "n_tokens": len(self._tokens),
            "n_documents": n_documents,
            "files": files,
        }
        write_json(self._folder / "manifest.json", whole)
        return whole


def _described(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def open_packed(folder: Path, tokenizer_sha256: str | None = None) -> PackedFile:
    """Opens a packed file and checks every byte of it.

    Args:
        folder: what ``pack_dataset`` wrote.
        tokenizer_sha256: the tokenizer it must have been made with, if given.

    Raises:
        PackedFileError: it is missing, unfinished, cut short, altered, or made with another tokenizer.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        checked = manifest["files"]
    except FileNotFoundError:
        raise PackedFileError(f"{folder} has no manifest.json: run jobs.gpu.pack_dataset first") from None
    except (ValueError, KeyError) as error:
        raise PackedFileError(f"{folder}/manifest.json is damaged ({error}): pack again") from None
    if manifest["format"] != FORMAT:
        raise PackedFileError(f"{folder} has format {manifest['format']}, expected {FORMAT}: pack again")
    if tokenizer_sha256 and manifest["tokenizer_sha256"] != tokenizer_sha256:
        raise PackedFileError(
            f"{folder} was packed with the tokenizer {manifest['tokenizer_sha256'][:12]}, tokenizer.path is "
            f"{tokenizer_sha256[:12]}: pack again, or set tokenizer.path"
        )
    _check_files(folder, checked.items())
    tokens = np.memmap(folder / "tokens.bin", np.dtype(manifest["dtype"]), "r")
    return PackedFile(folder, manifest, tokens, np.load(folder / "boundaries.npy"))


def _check_files(folder: Path, expected: Iterable[tuple[str, dict[str, Any]]]) -> None:
    for name, wanted in expected:
        path = folder / name
        size = path.stat().st_size if path.is_file() else 0
        if size != wanted["bytes"]:
            raise PackedFileError(f"{path} is cut short: {size} bytes, expected {wanted['bytes']}: pack again")
        if file_sha256(path) != wanted["sha256"]:
            raise PackedFileError(f"{path} was altered (its SHA-256 is not the manifest's): pack again")


def sync_folder(folder: Path) -> None:
    """Makes sure a folder's files and their names, those in its folders too, are on disk."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
