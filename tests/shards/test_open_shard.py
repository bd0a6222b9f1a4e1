"""Faults of a store are errors that name the shard, whether it is opened, read or only identified."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import shard_files

from pivot_udfs.errors import StoreError
from pivot_udfs.shards.content_ids import content_id
from pivot_udfs.shards.open_shard import open_shard
from pivot_udfs.storage.location import Location


def first_byte(path: str) -> bytes:
    with open_shard(path) as stream:
        return stream.read(1)


READERS: list[Callable[[str], Any]] = [first_byte, content_id, lambda path: shard_files.read(Path(path))]
CODES = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
FAULTS = [
    *(OSError(code, os.strerror(code)) for code in CODES),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    TimeoutError("timed out"),
    OSError("When reading information for key 'x': AWS Error ACCESS_DENIED"),
    OSError("When reading information for key 'x': AWS Error SLOW_DOWN"),
    pa.ArrowInvalid("google::cloud::Status(PERMISSION_DENIED: no access)"),
    ImportError("libhdfs is not installed"),
]


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(self: Location, *, seekable: bool = False) -> None:
        raise error

    monkeypatch.setattr(Location, "open_input", fail)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_fault_of_the_store_is_a_store_error(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, read: Callable[[str], Any]
) -> None:
    fail_with(monkeypatch, fault)
    with pytest.raises(StoreError) as error:
        read("/x.jsonl")
    assert str(error.value).startswith(f"shard /x.jsonl cannot be read: {fault}; check that it exists")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_no_fault_of_the_store(
    monkeypatch: pytest.MonkeyPatch, code: int, read: Callable[[str], Any]
) -> None:
    fail_with(monkeypatch, OSError(code, os.strerror(code)))
    with pytest.raises(OSError, match="Too many open files"):
        read("/x.jsonl")


@pytest.mark.parametrize("ending", [*shard_files.PACK, ".parquet"])
@pytest.mark.parametrize("read", READERS)
def test_a_shard_that_is_missing_or_a_folder_is_a_store_error(
    tmp_path: Path, ending: str, read: Callable[[str], Any]
) -> None:
    (tmp_path / f"folder{ending}").mkdir()
    for name in ("folder", "missing"):
        with pytest.raises(StoreError, match=f"shard .*/{name}{ending} cannot be read: "):
            read(str(tmp_path / f"{name}{ending}"))


def test_the_message_is_one_line_without_control_characters_or_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, OSError("failed at https://h/k?X-Amz-Signature=abc\x1b[31m\nand more"))
    with pytest.raises(StoreError) as error:
        first_byte("/new\nline.jsonl")
    assert str(error.value).isprintable()
    assert "abc" not in str(error.value)


def test_an_opened_shard_is_not_decompressed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b"as stored")
    for seekable in (False, True):
        with open_shard(str(tmp_path / "a.jsonl.gz"), seekable=seekable) as stream:
            assert stream.read() == b"as stored"
