"""A folder as one compressed archive in parts of limited size, for machines to which only so much can be sent at once.

Needs the standard library alone: the folder may hold the packages that everything else needs.
"""

import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path

LIST = "parts.json"


def write_parts(source: Path, folder: Path, part_bytes: int) -> list[Path]:
    """Writes the files of ``source`` as ``part-<n>`` of at most ``part_bytes`` bytes, and their sizes and hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[Path] = []
    with tempfile.TemporaryFile() as whole:
        with tarfile.open(fileobj=whole, mode="w:xz", preset=1) as archive:
            archive.add(source, ".")
        whole.seek(0)
        while data := whole.read(part_bytes):
            parts.append(folder / f"part-{len(parts):03}")
            parts[-1].write_bytes(data)
    about = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in parts}
    (folder / LIST).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return parts


def read_parts(folder: Path, target: Path) -> None:
    """Unpacks the parts of ``write_parts`` into ``target``.

    Raises:
        ValueError: a part is missing, cut short or altered.
    """
    about = json.loads((folder / LIST).read_text(encoding="utf-8"))
    with tempfile.TemporaryFile() as whole:
        for name, expected in about.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != expected["bytes"] or _sha256(path) != expected["sha256"]:
                raise ValueError(f"{path} is missing, cut short or altered: send it again ({expected['bytes']} bytes)")
            whole.write(path.read_bytes())
        whole.seek(io.SEEK_SET)
        with tarfile.open(fileobj=whole, mode="r:xz") as archive:
            archive.extractall(target, filter="data")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
