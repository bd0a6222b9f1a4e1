"""Every state that a job leaves in its warehouse when it is killed, from one run that is not.

A warehouse is copied before each operation on its files: by the project's own file system, whose operations are create,
write, close and delete, and by delta-rs, which creates each file of a log under a temporary name (``<name>#1``), writes
it, and gives it its own. Whatever then continues on such a copy continues after a kill at that operation.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyarrow import fs

from jobs.warehouse.delta import commit
from pivot_udfs.storage.location import Location

Tree = dict[str, bytes]
"""The files of a folder: content by relative path."""
_NO_PROCESS = 1 << 22
"""A number above those that Linux gives to processes."""
_COMMITS = ("create_write_transaction", "restore")


def read_tree(folder: Path) -> Tree:
    """The files of a folder; none where there is no folder."""
    return {path.removeprefix(f"{folder}/"): Path(path).read_bytes() for path, _ in _files(str(folder))}


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(entry.path)
            else:
                yield entry.path, entry.stat()


def write_tree(folder: Path, tree: Tree) -> None:
    """Makes these the only files of a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def as_killed(tree: Tree) -> Tree:
    """A state as the process that is recorded in the marker of a run leaves it: ended."""
    mine, ended = f"~{os.getpid()}", f"~{_NO_PROCESS}"
    return {name.removesuffix(mine) + ended if name.endswith(mine) else name: tree[name] for name in tree}


@dataclass
class StoreStates:
    """The states of a folder before each operation, with what the operation is."""

    folder: Path
    found: list[tuple[str, Tree]] = field(default_factory=list)
    _read: dict[tuple[str, int, int, int], bytes] = field(default_factory=dict)

    def now(self) -> Tree:
        """The files of the folder; those that have not changed are not read again."""
        tree = {}
        for path, status in _files(str(self.folder)):
            key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
            content = self._read[key] = self._read.get(key) or Path(path).read_bytes()
            tree[path.removeprefix(f"{self.folder}/")] = content
        return tree

    def before(self, operation: str, path: str) -> None:
        """Keeps the state of now; files that are only read, or lie elsewhere, are no operations."""
        if path.startswith(str(self.folder)):
            name = path.removeprefix(f"{self.folder}/")
            self.found.append((f"{operation} {name}", self.now()))

    def commit(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call of delta-rs with the states before and within it."""

        def kept(*arguments: Any, **named: Any) -> Any:
            before = self.now()
            result = call(*arguments, **named)
            after = self.now()
            new = sorted((name for name in after if after[name] != before.get(name)), key=_order)
            for name in new:
                whole, link = after[name], name.endswith(".json")
                for step, temporary in (("create", None), ("write", b""), ("write half", whole[: len(whole) // 2])):
                    state = before | ({} if temporary is None else {f"{name}#1": temporary})
                    self.found.append((f"delta-rs: {step} {name}", state))
                self.found.append((f"delta-rs: rename {name}", before | {f"{name}#1": whole}))
                before = before | {name: whole}
                if link:
                    self.found.append((f"delta-rs: delete {name}#1", before | {f"{name}#1": whole}))
            return result

        return kept


def _order(name: str) -> tuple[int, str]:
    """delta-rs writes a commit, then a checkpoint, then the file that names it."""
    place = next(k for k, end in enumerate((".json", ".parquet", "_last_checkpoint")) if name.endswith(end))
    return place, name


@contextmanager
def store_states(folder: Path) -> Iterator[StoreStates]:
    """Keeps the states of a folder while jobs run in this process inside the ``with`` block."""
    states = StoreStates(folder)
    files = fs.PyFileSystem(WatchedFiles(states.before))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Location, "filesystem", property(lambda _: files))
        patch.setattr(commit, "create_table_with_add_actions", states.commit(commit.create_table_with_add_actions))
        for name in _COMMITS:
            patch.setattr(DeltaTable, name, states.commit(getattr(DeltaTable, name)))
        yield states


class WatchedFiles(fs.FileSystemHandler):
    """The local file system, which calls a function with each operation and its path before it changes a file."""

    def __init__(self, before: Callable[[str, str], object]) -> None:
        self._before, self._files = before, fs.LocalFileSystem()

    def get_type_name(self) -> str:
        return "watched"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: Any) -> Any:
        return self._files.get_file_info(paths)

    get_file_info_selector = get_file_info

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self._files.open_input_stream(path, compression=None)

    def open_input_file(self, path: str) -> pa.NativeFile:
        return self._files.open_input_file(path)

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        self._before("create", path)
        stream = self._files.open_output_stream(path, compression=None, metadata=metadata)
        return pa.PythonFile(_WatchedOutput(stream, lambda operation: self._before(operation, path)), "w")

    def create_dir(self, path: str, recursive: bool) -> None:
        self._files.create_dir(path, recursive=recursive)  # an object store has no folders

    def delete_dir(self, path: str) -> None:
        for info in self._files.get_file_info(fs.FileSelector(path, recursive=True)):
            if info.is_file:
                self.delete_file(info.path)
        self._files.delete_dir(path)

    def delete_file(self, path: str) -> None:
        self._before("delete", path)
        self._files.delete_file(path)

    def _not_used(self, *_: Any) -> Any:
        raise NotImplementedError

    copy_file = delete_dir_contents = delete_root_dir_contents = move = open_append_stream = _not_used


class _WatchedOutput:
    def __init__(self, stream: pa.NativeFile, before: Callable[[str], object]) -> None:
        self._stream, self._before, self._written = stream, before, False

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)

    def write(self, content: bytes) -> int:
        if not self._written:
            self._before("write")
        self._written = True
        return int(self._stream.write(content))

    def flush(self) -> None:
        self._stream.flush()

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        if not self.closed:
            self._before("close")
        self._stream.close()


def orphans(warehouse: Path) -> list[str]:
    """The files of a warehouse that no commit of its table has named, and unfinished ones of its logs."""
    found = [name for name in read_tree(warehouse) if re.search(r"#\d+$", name)]
    for log in warehouse.rglob("_delta_log"):
        commits = "".join(path.read_text(encoding="utf-8") for path in log.glob("*.json"))
        found += [str(path.relative_to(warehouse)) for path in log.parent.glob("*.parquet") if path.name not in commits]
    return found
