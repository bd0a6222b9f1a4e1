"""Files, folders, globs and URIs are listed, each shard once; everything else is an error of one line."""

import glob
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pyarrow import fs
from shard_files import listed_names

from pivot_udfs.errors import CorpusError
from pivot_udfs.shards.list_shards import list_shards, shard_format
from pivot_udfs.shards.open_shard import open_shard
from pivot_udfs.storage import location


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name in (
        "a.jsonl", "b.json.gz", "sub/c.ndjson.zst", "sub/deep/d.parquet", "sub/E.JSONL.ZSTD",
        "_SUCCESS", ".a.jsonl.crc", ".hidden/x.jsonl", "_temporary/0/x.jsonl", "LICENCES.md", "sub/.x.jsonl",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    return tmp_path


ALL = ["a.jsonl", "b.json.gz", "sub/E.JSONL.ZSTD", "sub/c.ndjson.zst", "sub/deep/d.parquet"]


def test_a_folder_is_read_recursively(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert listed_names(corpus, str(corpus)) == ALL
    assert "1 files of unknown extension skipped" in caplog.text
    assert "LICENCES.md" in caplog.text


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ALL),
        ("**", ALL),
        ("*.json*", ["a.jsonl", "b.json.gz"]),
        ("[ab].json*", ["a.jsonl", "b.json.gz"]),
        ("?.jsonl", ["a.jsonl"]),
        ("s*", ALL[2:]),
        ("sub/*", ALL[2:]),
        ("*/deep", ["sub/deep/d.parquet"]),
        ("*/*/d.*", ["sub/deep/d.parquet"]),
        ("**/*.parquet", ["sub/deep/d.parquet"]),
        ("**/a.jsonl", ["a.jsonl"]),
        ("**/deep/*", ["sub/deep/d.parquet"]),
        ("**/**", ALL),
    ],
)
def test_a_glob_names_files_and_folders(corpus: Path, pattern: str, expected: list[str]) -> None:
    assert listed_names(corpus, f"{corpus}/{pattern}") == expected


PARTS = st.sampled_from(["*", "**", "**", "sub", "s*", "deep", "[ad].*", "*.jsonl", "?.*", "x.jsonl"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(PARTS, min_size=1, max_size=4))
def test_globs_match_what_the_shell_matches(corpus: Path, parts: list[str]) -> None:
    """Compared with Python's glob, where a folder that matches includes all files below it."""
    assume(any("*" in part or "?" in part or "[" in part for part in parts))
    matched = [Path(path) for path in glob.glob("/".join([str(corpus), *parts]), recursive=True)]  # noqa: PTH207
    files = {file for path in matched for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()}
    names = {str(file.relative_to(corpus)) for file in files}
    expected = [name for name in ALL if name in names]
    try:
        found = listed_names(corpus, "/".join([str(corpus), *parts]))
    except CorpusError:
        found = []
    assert found == expected


class _Counting:
    """A store of a local folder that records what is listed."""

    def __init__(self, folder: Path) -> None:
        self.listed: list[str] = []
        self._store = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())

    def get_file_info(self, what: Any) -> Any:
        if isinstance(what, fs.FileSelector):
            self.listed.append(f"{what.base_dir}{'/**' if what.recursive else ''}")
        return self._store.get_file_info(what)


def _use_store(monkeypatch: pytest.MonkeyPatch, store: Any) -> None:
    monkeypatch.setattr(location, "connect", lambda scheme, authority: store)


@pytest.mark.parametrize(
    ("pattern", "listed"),
    [
        ("**", ["/**"]),
        ("**/*.parquet", ["/**"]),
        ("**/deep/**/d.*", ["/**"]),
        ("s*/**/*.parquet", ["", "/sub/**"]),
        ("*/deep/*", ["", "/sub", "/sub/deep"]),
    ],
)
def test_from_two_stars_on_a_store_is_listed_by_one_request(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, listed: list[str]
) -> None:
    store = _Counting(corpus.parent)
    _use_store(monkeypatch, store)
    assert list_shards([f"s3://{corpus.name}/{pattern}"])
    assert store.listed == [f"{corpus.name}{place}" for place in listed]


def test_a_shard_that_several_inputs_name_is_listed_once(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corpus)
    inputs = [
        "a.jsonl",
        f"{corpus}/sub/../a.jsonl",
        f"file://{corpus}/a.jsonl",
        f"file:{corpus}/?.jsonl",
        "./*.jsonl",
    ]
    shards = list_shards(inputs)
    assert [shard.path for shard in shards] == [str(corpus / "a.jsonl")]
    assert shards[0].n_bytes == 2
    assert shards[0].modified_ns == (corpus / "a.jsonl").stat().st_mtime_ns


def test_a_name_with_magic_characters_or_escapes(tmp_path: Path) -> None:
    for name in ("x[1].jsonl", "é 水.jsonl"):
        (tmp_path / name).write_bytes(b"")
    assert listed_names(tmp_path, f"{tmp_path}/x[1].jsonl") == ["x[1].jsonl"]
    assert listed_names(tmp_path, (tmp_path / "é 水.jsonl").as_uri()) == ["é 水.jsonl"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("gone", "does not exist; give a file"),
        ("gone/*.jsonl", "are skipped): mount its folder, or correct the path"),
        ("gone/**", "found no file"),
        ("*.parquet", "found no file"),
        ("LICENCES.md", "no known extension; shards end in .json, .json.gz"),
        ("L*", "found 1 files of unknown extension, such as"),
        (".hidden/*.gz", "found no file"),
    ],
)
def test_inputs_that_match_nothing_are_errors(corpus: Path, given: str, says: str) -> None:
    with pytest.raises(CorpusError, match=r"corpus\.inputs: ") as error:
        list_shards([str(corpus), f"{corpus}/{given}"])
    assert says in str(error.value)
    assert given in str(error.value)


@pytest.mark.parametrize("given", ["nowhere", "nowhere/*.jsonl", "page.md"])
def test_a_relative_input_is_reported_with_the_working_directory(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").touch()
    with pytest.raises(CorpusError) as error:
        list_shards([given])
    assert f"corpus.inputs: '{given}' (working directory: {tmp_path}) " in str(error.value)
    with pytest.raises(CorpusError) as error:
        list_shards([f"{tmp_path}/{given}"])
    assert "working directory" not in str(error.value)


@pytest.mark.parametrize("given", ["table", "table/", "link"])
def test_a_delta_table_is_an_error(tmp_path: Path, given: str) -> None:
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)
    (tmp_path / "table" / "part-0.parquet").write_bytes(b"x")
    (tmp_path / "link").symlink_to("table")
    with pytest.raises(CorpusError, match="is a Delta table: its folder has rows that were deleted"):
        list_shards([f"{tmp_path}/{given}"])


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no shard: found no file"):
        list_shards([str(tmp_path)])


@pytest.mark.parametrize("uri", ["ftp://host/a.jsonl", "wasbs://c@a/a.jsonl"])
def test_an_unknown_scheme_is_an_error(uri: str) -> None:
    with pytest.raises(CorpusError, match="use a local path or one of file, s3, s3a"):
        list_shards([uri])


class _Refusing:
    """A file system in which every listing is refused, as for a user without permission."""

    def get_file_info(self, what: Any) -> Any:
        if isinstance(what, fs.FileSelector):
            raise PermissionError(13, "Cannot list directory")
        is_folder = not what.endswith("_delta_log")
        return fs.FileInfo(what, type=fs.FileType.Directory if is_folder else fs.FileType.NotFound)


def test_a_folder_without_permission_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _use_store(monkeypatch, _Refusing())
    with pytest.raises(CorpusError, match=r"'s3://data' cannot be listed: .*Cannot list directory; check the path"):
        list_shards(["s3://data"])


def test_shards_of_a_store_keep_their_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local folder in the place of the store: listing and opening are given the same paths."""
    (tmp_path / "bucket" / "day=1").mkdir(parents=True)
    (tmp_path / "bucket" / "day=1" / "a.jsonl").write_bytes(b"raw")
    _use_store(monkeypatch, fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()))
    for uri in (
        "s3a://bucket",
        "s3a://bucket/*",
        "s3://bucket/day=?/*.jsonl",
        "s3a://bucket/day=1/a.jsonl",
    ):
        shards = list_shards([uri])
        assert [shard.path for shard in shards] == ["s3://bucket/day=1/a.jsonl"]
        with open_shard(shards[0].path) as stream:
            assert stream.read() == b"raw"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/d/a.b.jsonl.gz", ("jsonl", "gzip", "a.b")),
        ("s3://d/A.JSON.ZSTD", ("jsonl", "zstd", "A")),
        ("a.ndjson", ("jsonl", "", "a")),
        ("a.parquet", ("parquet", "", "a")),
        ("a.parquet.gz", None),
        ("a.gz", None),
    ],
)
def test_formats_by_name(path: str, expected: tuple[str, str, str] | None) -> None:
    assert shard_format(path) == expected


def test_an_error_of_a_store_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def get_file_info(self, what: Any) -> Any:
            raise OSError("no such bucket\nat line 1")

    _use_store(monkeypatch, Failing())
    with pytest.raises(CorpusError, match="no such bucket; check") as error:
        list_shards(["s3://bucket/a"])
    assert "\n" not in str(error.value)
