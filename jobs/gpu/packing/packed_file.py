"""The packed file: a dataset's tokens in one memory-mapped array, with its documents' places and a manifest.

A folder of three files. ``tokens-<hash>.bin``: little-endian uint16 (uint32 for vocabularies over 65,536), documents
one after the other, each followed by the end token. ``boundaries-<hash>.npy``: int64, where each document begins,
and the end. ``manifest.json``: what it was made from, counts, and name and SHA-256 of the other two. It is replaced
last and in one step, and files of other contents have other names: a reader sees the old packed file or the new one,
and a training run keeps the tokens that it has mapped.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from jobs.gpu.common.errors import PackedFileError
from jobs.gpu.common.run_job import write_json

FORMAT = 2
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
        folder: created; a packed file in it stays as it is until ``finish``.
        lengths: int64, tokens of each document in file order, the end token included.
        dtype: from ``token_dtype``.
        end_id: the end token.
    """

    def __init__(self, folder: Path, lengths: NDArray[np.int64], dtype: np.dtype[Any], end_id: int) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._boundaries = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shape = (int(self._boundaries[-1]),)
        self._tokens = np.asarray(np.memmap(folder / "tokens.partial", dtype, "w+", shape=shape))
        self._end_id = end_id
        self._filled = np.zeros(len(lengths), bool)

    def put(self, places: NDArray[np.int64], offsets: NDArray[Any], ids: NDArray[np.int32]) -> int:
        """Writes documents: as many of each one's ids as fit, then the end token where it fits.

        Args:
            places: int64 (n,), the number of each in the file; those below 0 are passed over.
            offsets: integers (n + 1,), document k is ``ids[offsets[k]:offsets[k + 1]]``.
            ids: int32.

        Returns:
            The highest id of these documents as uint32, so that a negative one is above all others.
        """
        self._filled[places[places >= 0]] = True
        return int(_scatter(places, offsets, ids, self._boundaries, self._end_id, self._tokens))

    def finish(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Puts the files into place, then the manifest; gives it.

        Nothing waits for the disk: ``open_packed`` checks every byte.

        Raises:
            PackedFileError: a document was promised and never written.
        """
        if not self._filled.all():
            raise PackedFileError(f"{int((~self._filled).sum())} documents of {self._folder} were never written")
        with (self._folder / "boundaries.partial").open("wb") as file:
            np.save(file, self._boundaries)
        hashes = {
            "tokens.bin": hashlib.sha256(self._tokens.data).hexdigest(),
            "boundaries.npy": file_sha256(self._folder / "boundaries.partial"),
        }
        whole = manifest | {
            "format": FORMAT,
            "dtype": self._tokens.dtype.str,
            "n_tokens": len(self._tokens),
            "n_documents": len(self._filled),
            "files": {kind: _put_into_place(self._folder, kind, sha256) for kind, sha256 in hashes.items()},
        }
        write_json(self._folder / "manifest.json", whole)
        _remove_others(self._folder, {about["name"] for about in whole["files"].values()})
        return whole


@nb.njit(nogil=True, cache=True)
def _scatter(
    places: NDArray[np.int64],
    offsets: NDArray[Any],
    ids: NDArray[np.int32],
    boundaries: NDArray[np.int64],
    end_id: int,
    tokens: NDArray[Any],
) -> np.uint32:
    """Slices and one unsigned maximum, so that the loop over a document compiles to vector instructions."""
    highest = np.uint32(0)
    for row in range(len(places)):
        place = places[row]
        if place < 0:
            continue
        document = ids[offsets[row] : offsets[row + 1]]
        room = tokens[boundaries[place] : boundaries[place + 1]]
        kept = min(len(document), len(room))
        for k in range(kept):
            highest = max(highest, np.uint32(document[k]))
            room[k] = document[k]
        for k in range(kept, len(document)):
            highest = max(highest, np.uint32(document[k]))
        if kept < len(room):
            room[kept] = end_id
    return highest


def _put_into_place(folder: Path, kind: str, sha256: str) -> dict[str, Any]:
    """Names ``<stem>.partial`` by its contents and describes it."""
    stem, suffix = kind.split(".")
    path = folder / f"{stem}-{sha256[:16]}.{suffix}"
    (folder / f"{stem}.partial").replace(path)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256}


def _remove_others(folder: Path, names: set[str]) -> None:
    """Removes the data files of packed files that the manifest no longer names."""
    for path in [*folder.glob("tokens*"), *folder.glob("boundaries*")]:
        if path.name not in names:
            path.unlink()


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
    manifest = _read_manifest(folder)
    try:
        return _open(folder, manifest, tokenizer_sha256)
    except (PackedFileError, FileNotFoundError):
        if _read_manifest(folder) == manifest:
            raise
    return open_packed(folder, tokenizer_sha256)  # it was packed anew meanwhile


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise PackedFileError(f"{folder} has no manifest.json: run jobs.gpu.pack_dataset first") from None
    except (ValueError, TypeError) as error:
        raise PackedFileError(f"{folder}/manifest.json is damaged ({error}): pack again") from None


def _open(folder: Path, manifest: dict[str, Any], tokenizer_sha256: str | None) -> PackedFile:
    if manifest.get("format") != FORMAT:
        raise PackedFileError(f"{folder} has format {manifest.get('format')}, expected {FORMAT}: pack again")
    if tokenizer_sha256 and manifest["tokenizer_sha256"] != tokenizer_sha256:
        raise PackedFileError(
            f"{folder} was packed with the tokenizer {manifest['tokenizer_sha256'][:12]}, tokenizer.path is "
            f"{tokenizer_sha256[:12]}: pack again, or set tokenizer.path"
        )
    try:
        tokens, boundaries = (manifest["files"][kind] for kind in ("tokens.bin", "boundaries.npy"))
        _check_files(folder, [tokens, boundaries])
        mapped = np.memmap(folder / tokens["name"], np.dtype(manifest["dtype"]), "r")
        return PackedFile(folder, manifest, mapped, np.load(folder / boundaries["name"]))
    except KeyError as error:
        raise PackedFileError(f"{folder}/manifest.json is damaged (no {error}): pack again") from None


def _check_files(folder: Path, expected: Iterable[dict[str, Any]]) -> None:
    for wanted in expected:
        path = folder / wanted["name"]
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
