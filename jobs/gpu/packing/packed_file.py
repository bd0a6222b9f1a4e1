"""The packed file: the tokens of a dataset in one memory-mapped array, and a manifest.

It is a folder of two files. ``tokens-<hash>.bin``: little-endian uint16 (uint32 for vocabularies over 65,536), one
document after the other, each followed by the end token, which is in no document; held-out documents are ordered by
language. ``manifest.json``: provenance, counts in all and by language, and name, size and SHA-256 of the tokens. It is
replaced last, atomically, and the tokens are named by their content: a reader sees either the old packed file or the
new one, and a training run keeps the tokens that it has mapped.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.gpu.common.files import file_sha256, write_json
from pivot_udfs.errors import PackedFileError
from pivot_udfs.provenance import Provenance, other_content

FORMAT = 4


def token_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """The smallest dtype that holds every id."""
    return np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")


@dataclass(frozen=True, eq=False)
class PackedFile:
    """An opened packed file: its tokens are memory-mapped, read-only; ``start_id`` begins every sequence."""

    folder: Path
    manifest: dict[str, Any]
    tokens: NDArray[Any]
    start_id: int | None = None

    @property
    def provenance(self) -> Provenance:
        """What it was made from."""
        return manifest_provenance(self.folder, self.manifest)

    def n_sequences(self, length: int) -> int:
        """Number of sequences of ``length`` inputs (and as many shifted targets) in the tokens."""
        return max(0, (len(self.tokens) - 1) // length)

    def sequences(self, indices: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Sequences by number: int64 (len(indices), length + 1); inputs are [:, :-1], targets [:, 1:]."""
        rows = [self.tokens[k * length : k * length + length + 1] for k in indices]
        return self.started(np.stack(rows).astype(np.int64))

    def started(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows (sequences, length + 1), changed to begin with the start token."""
        if self.start_id is not None:
            rows[:, 0] = self.start_id
        return rows


class PackedWriter:
    """Writes a packed file document by document, in any order; one that is in the folder is unchanged until ``finish``.

    ``lengths`` (int64) are the tokens of each document in file order, the end token included.
    """

    def __init__(self, folder: Path, lengths: NDArray[np.int64], dtype: np.dtype[Any], end_id: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._end_id = folder, end_id
        self._boundaries = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shape = (int(self._boundaries[-1]),)
        self._tokens = np.asarray(np.memmap(folder / "tokens.partial", dtype, "w+", shape=shape))

    def put(self, place: int, ids: NDArray[np.int32]) -> None:
        """Writes the document at ``place`` in the file: as many of its ids as fit, then the end token if it fits."""
        room = self._tokens[self._boundaries[place] : self._boundaries[place + 1]]
        room[: len(ids)] = ids[: len(room)]
        room[len(ids) :] = self._end_id

    def finish(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Renames the file of tokens, then writes the manifest and returns it; removes the tokens before.

        Files are not flushed to disk: ``open_packed`` verifies every byte.
        """
        partial = self._folder / "tokens.partial"
        sha256 = file_sha256(partial)
        path = partial.replace(self._folder / f"tokens-{sha256[:16]}.bin")
        whole = manifest | {
            "format": FORMAT,
            "dtype": self._tokens.dtype.str,
            "n_tokens": len(self._tokens),
            "n_documents": len(self._boundaries) - 1,
            "file": {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256},
        }
        write_json(self._folder / "manifest.json", whole)
        for other in self._folder.glob("tokens*"):
            if other != path:
                other.unlink()
        return whole


def open_packed(folder: Path, tokenizer_sha256: str | None = None) -> PackedFile:
    """Opens a packed file, made with the tokenizer of this hash if one is given, and verifies every byte of it.

    Raises PackedFileError where it is missing, unfinished, cut short, altered, or made with another tokenizer.
    """
    manifest = read_manifest(folder)
    try:
        return _open(folder, manifest, tokenizer_sha256)
    except (PackedFileError, FileNotFoundError):
        if read_manifest(folder) == manifest:
            raise
    return open_packed(folder, tokenizer_sha256)  # it was replaced in the meantime


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a packed file; raises PackedFileError where it is missing, damaged, or of another format."""
    try:
        manifest = dict(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise PackedFileError(f"{folder} has no manifest.json: run jobs.gpu.pack_dataset first") from None
    except (ValueError, TypeError) as error:
        raise PackedFileError(f"{folder}/manifest.json is damaged ({error}): pack again") from None
    if manifest.get("format") != FORMAT:
        raise PackedFileError(f"{folder} has format {manifest.get('format')}, expected {FORMAT}: pack again")
    return manifest


def manifest_provenance(folder: Path, manifest: dict[str, Any]) -> Provenance:
    """What a packed file was made from."""
    found = Provenance.from_tree(manifest.get("provenance"))
    if found is None:
        raise PackedFileError(f"{folder}/manifest.json has no provenance: pack again")
    return found


def check_packed(folder: Path, tokenizer_sha256: str) -> Path:
    """The file of tokens in a folder, which ``open_packed`` would open: its bytes are counted, not hashed.

    Raises PackedFileError as ``open_packed``.
    """
    return _tokens_file(folder, read_manifest(folder), tokenizer_sha256)


def _open(folder: Path, manifest: dict[str, Any], tokenizer_sha256: str | None) -> PackedFile:
    path = _tokens_file(folder, manifest, tokenizer_sha256)
    if file_sha256(path) != manifest["file"]["sha256"]:
        raise PackedFileError(f"{path} was altered (its SHA-256 is not the manifest's): pack again")
    return PackedFile(folder, manifest, np.memmap(path, np.dtype(manifest["dtype"]), "r"))


def _tokens_file(folder: Path, manifest: dict[str, Any], tokenizer_sha256: str | None) -> Path:
    made_with = manifest_provenance(folder, manifest).files.get("tokenizer", "")
    if tokenizer_sha256 and made_with != tokenizer_sha256:
        raise PackedFileError(
            f"{folder} was made with {other_content('tokenizer', made_with, tokenizer_sha256)}: pack again, or set "
            "tokenizer.path"
        )
    try:
        path, expected, _ = folder / str(manifest["file"]["name"]), manifest["file"]["bytes"], manifest["dtype"]
    except KeyError as error:
        raise PackedFileError(f"{folder}/manifest.json is damaged (no {error}): pack again") from None
    size = path.stat().st_size if path.is_file() else 0
    if size != expected:
        raise PackedFileError(f"{path} is cut short: {size} bytes, expected {expected}: pack again")
    return path
