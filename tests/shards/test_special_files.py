"""Links, special files and names of any bytes among shards: each file is read once, others are skipped by name."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from shard_files import listed_names

from pivot_udfs.errors import CorpusError
from pivot_udfs.shards.list_shards import list_shards, shard_format
from pivot_udfs.shards.open_shard import open_shard


@pytest.fixture
def odd_folder(tmp_path: Path) -> Iterator[Path]:
    """Two shards among links to them, links to nothing and special files, all named like shards."""
    folder = tmp_path / "odd"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(b"{}")
    (folder / "sub" / "b.jsonl").write_bytes(b"{}")
    (folder / "0.jsonl").symlink_to("a.jsonl")
    (folder / "hard.jsonl").hardlink_to(folder / "a.jsonl")
    for name, target in (
        ("up", "."), ("top", ".."), ("sub/up", ".."), ("sub/top", str(tmp_path)), ("0-sub", "sub"),
        ("0-folder.jsonl", "sub"), ("loop.jsonl", "loop.jsonl"), ("broken.jsonl", "gone"), ("zero.jsonl", "/dev/zero"),
    ):  # fmt: skip
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "fifo.jsonl")
    (tmp_path / "beside.jsonl").write_bytes(b"{}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.jsonl"))
        yield folder


@pytest.mark.parametrize("pattern", ["", "/*", "/**", "/**/*.jsonl"])
def test_each_file_is_read_once_and_special_files_are_skipped_by_name(
    odd_folder: Path, caplog: pytest.LogCaptureFixture, pattern: str
) -> None:
    shards = listed_names(odd_folder, f"{odd_folder}{pattern}")
    assert len(shards) == 2
    assert {Path(name).name for name in shards} <= {"a.jsonl", "hard.jsonl", "0.jsonl", "b.jsonl"}
    assert [(odd_folder / name).stat().st_ino for name in shards] == [
        (odd_folder / name).stat().st_ino for name in ("a.jsonl", "sub/b.jsonl")
    ]
    for name in ("fifo.jsonl", "socket.jsonl", "zero.jsonl", "broken.jsonl", "loop.jsonl"):
        assert name in caplog.text


def test_a_link_is_read_where_the_file_itself_is_not_among_the_inputs(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "5e1f").write_bytes(b"{}")
    (tmp_path / "shards").mkdir()
    for name in ("b.jsonl", "a.jsonl"):
        (tmp_path / "shards" / name).symlink_to("../blobs/5e1f")
    assert listed_names(tmp_path, str(tmp_path / "shards")) == ["shards/a.jsonl"]


def test_a_file_that_the_input_names_by_a_link_is_read_once(odd_folder: Path) -> None:
    assert len(list_shards([str(odd_folder / name) for name in ("0.jsonl", "a.jsonl", "hard.jsonl")])) == 1


@pytest.mark.parametrize("name", ["fifo.jsonl", "socket.jsonl", "zero.jsonl", "broken.jsonl", "loop.jsonl"])
def test_an_input_that_is_no_regular_file_is_an_error(odd_folder: Path, name: str) -> None:
    with pytest.raises(CorpusError, match="no regular file"):
        list_shards([str(odd_folder / name)])
    with pytest.raises(CorpusError, match="found 1 shards that are no regular files"):
        list_shards([str(odd_folder / f"[{name[0]}]{name[1:]}")])


def test_names_that_are_not_utf_8(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in (b"a.jsonl", b"sur\xe9.jsonl", b"other\xe9"):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    shards = list_shards([str(tmp_path)])
    assert [shard.path for shard in shards] == [f"{tmp_path}/a.jsonl", f"file://{tmp_path}/sur%E9.jsonl"]
    assert shard_format(shards[1].path) == ("jsonl", "", "sur%E9")
    with open_shard(shards[1].path) as stream:
        assert stream.read() == b"sur\xe9.jsonl"
    assert "other\\udce9" in caplog.text
    assert listed_names(tmp_path, f"{tmp_path}/a*") == ["a.jsonl"]
    assert list_shards([f"{tmp_path}/s*"]) == shards[1:] == list_shards([shards[1].path])


def test_names_reach_messages_escaped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("new\nline.jsonl", "red\x1b[31m.txt", "line\nfeed"):
        (tmp_path / name).write_bytes(b"")
    assert listed_names(tmp_path, str(tmp_path)) == ["new\nline.jsonl"]
    assert "\\x1b[31m" in caplog.text
    with pytest.raises(CorpusError) as error:
        list_shards([f"{tmp_path}/line\nf*"])
    assert "\x1b" not in caplog.text
    assert "\n" not in str(error.value) + caplog.text.strip()
