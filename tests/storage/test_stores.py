"""Paths and URIs to locations: every library is given the same file, and nothing secret is shown."""

import json
import os
import pickle
import socket
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs
from pyspark.sql import SparkSession

from pivot_udfs.errors import StoreError
from pivot_udfs.storage.list_files import look_up
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import printable, reason, redact
from pivot_udfs.storage.stores import STORE_ERRORS, delta_uri, resolve, table_files

NAMES = [
    "a b", "a%20b", "a%2520b", "%", "%25", "tab\tx", "back\\slash", "#h", "q?x", "été", "e\u0301", "[x]*", "{a}",
    "a:b", "new\nline", "quote'\"", "`tick`", "~t", "+p", "a;b", "  lead ", "dot.", "ctl\x01", "|^&=", "<>", "水",
]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "uri", "hadoop_path", "path"),
    [
        ("/a/./b/../c d%", "file:///a/c%20d%25", "file:/a/c d%", "/a/c d%"),
        ("file:/a/b%20c", "file:///a/b%20c", "file:/a/b c", "/a/b c"),
        ("file:///a/b#c?", "file:///a/b%23c%3F", "file:/a/b#c?", "/a/b#c?"),
        ("file://localhost/a/", "file:///a", "file:/a", "/a"),
        ("//a", "file:///a", "file:/a", "/a"),
        ("s3a://bucket/a b%20c/", "s3://bucket/a b%20c", "s3a://bucket/a b%20c", "bucket/a b%20c"),
        ("s3n://bucket", "s3://bucket", "s3a://bucket/", "bucket"),
        ("GCS://bucket/a", "gs://bucket/a", "gs://bucket/a", "bucket/a"),
        ("hdfs://name:8020/a", "hdfs://name:8020/a", "hdfs://name:8020/a", "/a"),
        ("hdfs:/a", "hdfs:///a", "hdfs:///a", "/a"),
        ("hdfs:///", "hdfs:///", "hdfs:///", "/"),
        ("hdfs://name", "hdfs://name", "hdfs://name/", "/"),
        ("abfss://c@acc.dfs.core.windows.net/a", "abfss://c@acc.dfs.core.windows.net/a",
         "abfss://c@acc.dfs.core.windows.net/a", "c/a"),
    ],
)  # fmt: skip
def test_a_place_has_one_uri(place: str, uri: str, hadoop_path: str, path: str) -> None:
    location = resolve(place)
    assert (location.uri, location.hadoop_path, location.path) == (uri, hadoop_path, path)
    assert resolve(location.uri) == location == pickle.loads(pickle.dumps(location))  # noqa: S301
    assert resolve(location.hadoop_path.replace("%", "%25") if location.is_local else location.hadoop_path) == location


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_any_local_path_survives_its_uri(parts: list[str]) -> None:
    location = resolve("/" + "/".join(parts))
    assert location.path == os.path.abspath("/" + "/".join(parts))  # noqa: PTH100
    assert resolve(location.uri) == location
    assert location.uri.isascii()


def test_a_relative_path_is_absolute_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("a:b/c", "./a:b/c", "a:b//c/"):
        assert resolve(place).path == f"{tmp_path}/a:b/c"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("http://host/a", "the scheme 'http', which is not supported: use a local path or one of file, s3"),
        ("wasbs://c@acc.blob.core.windows.net/a", "the scheme 'wasbs'"),
        ("dbfs:/a", "the scheme 'dbfs'"),
        ("", "no path or URI"),
        ("/a\0b", "no path or URI"),
        ("file://a/b", "write file:///path"),
        ("s3:///key", "write s3://bucket/key"),
        ("s3:/key", "write s3://bucket/key"),
        ("abfss://account/key", "write abfss://container@account"),
        ("s3://AKIAABCDEFGHIJKLMNOP:sec/ret@bucket/a", "contains credentials"),
        ("s3://AKIAABCDEFGHIJKLMNOP@bucket/a", "contains credentials"),
        ("hdfs://user:secret@name/a", "contains credentials"),
        ("abfss://c@acc.dfs.core.windows.net/a?sv=1&sig=secret", "contains credentials"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(place: str, says: str) -> None:
    with pytest.raises(StoreError) as error:
        resolve(place)
    assert says in str(error.value)
    for hidden in ("sec", "ret@", "AKIA", "\n", "\0"):
        assert hidden not in str(error.value).replace("set them", "")


@pytest.mark.parametrize("name", [*NAMES, "sur\udce9"])
def test_a_file_of_any_name_is_written_and_read(tmp_path: Path, name: str) -> None:
    file = resolve(str(tmp_path)).child(name).child("deep/file.gz")
    assert (file.exists(), file.name) == (False, "file.gz")
    with file.open_output() as stream:
        stream.write(b"raw")
    assert (tmp_path / name / "deep" / "file.gz").read_bytes() == b"raw"
    assert (file.exists(), look_up(file).n_bytes) == (True, 3)
    for seekable in (False, True):
        with resolve(file.uri).open_input(seekable=seekable) as stream:
            assert stream.read() == b"raw"
    with pytest.raises(STORE_ERRORS):
        file.child("below a file").open_output()
    with pytest.raises(STORE_ERRORS):
        resolve(str(tmp_path / "gone")).open_input()


def test_the_type_of_a_local_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("gone")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    types = {name: resolve(str(tmp_path)).child(name).type() for name in ("file", "fifo", "socket", "link", ".")}
    for name in ("fifo", "socket"):
        with pytest.raises(STORE_ERRORS):
            resolve(str(tmp_path)).child(name).open_input()
    unknown = fs.FileType.Unknown
    assert types == {"file": fs.FileType.File, "fifo": unknown, "socket": unknown, "link": fs.FileType.NotFound,
                     ".": fs.FileType.Directory}  # fmt: skip


def _commit(table: Location, value: int) -> None:
    """One row as the whole content of a table, in a commit as the jobs make it."""
    rows = pa.table({"v": pa.array([value], pa.int64())})
    name = f"{value}-{time.time_ns()}.parquet"
    with table.child(name).open_output() as stream:
        pq.write_table(rows, stream)
    action = AddAction(name, look_up(table.child(name)).n_bytes, {}, 0, True, json.dumps({"numRecords": 1}))
    uri, schema = delta_uri(table, for_commit=True), Schema.from_arrow(rows.schema)
    if DeltaTable.is_deltatable(uri):
        said = CommitProperties(max_commit_retries=0)
        DeltaTable(uri).create_write_transaction([action], "overwrite", schema, [], commit_properties=said)
    else:
        create_table_with_add_actions(uri, schema, [action], "error", [])


def _values(table: Location) -> Any:
    dataset = DeltaTable(delta_uri(table)).to_pyarrow_dataset(filesystem=table_files(table))
    return dataset.to_table().column("v").to_pylist()


def test_delta_rs_keeps_tables_of_similar_names_apart(tmp_path: Path) -> None:
    tables = [resolve(str(tmp_path / name / "table")) for name in NAMES]
    for _ in range(2):
        for value, table in enumerate(tables):
            _commit(table, value)
    assert [_values(table) for table in tables] == [[value] for value in range(len(tables))]
    assert {len(DeltaTable(delta_uri(table)).history()) for table in tables} == {2}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


@pytest.mark.spark
def test_spark_reads_a_table_of_any_name(spark: SparkSession, tmp_path: Path) -> None:
    names = ["a b", "a%20b", "%25", "tab\tx", "back\\slash", "#h", "q?x", "été", "[x]*", "a:b", "new\nline"]
    tables = [resolve(str(tmp_path / name / "table")) for name in names]
    for value, table in enumerate(tables, 1):
        _commit(table, value)
    for value, table in enumerate(tables, 1):
        assert [row.v for row in spark.read.format("delta").load(table.hadoop_path).collect()] == [value]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_table_whose_path_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    table = resolve(str(tmp_path / "sur\udce9"))
    with pytest.raises(StoreError, match="not UTF-8"):
        delta_uri(table)
    with pytest.raises(StoreError, match="not UTF-8"):
        _ = table.hadoop_path


def test_keys_of_object_stores_are_quoted_for_delta_rs_or_refused() -> None:
    assert delta_uri(resolve("s3a://bucket/é/c d")) == "s3://bucket/%C3%A9/c%20d"
    for name in ("a%20b", "a#b", "a?b", "a\\b", "a\tb"):
        with pytest.raises(StoreError, match="delta-rs misreads in object stores"):
            delta_uri(resolve(f"s3://bucket/{name}"))


SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # noqa: S105


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"cannot open s3://AKIAIOSFODNN7EXAMPLE:{SECRET}@bucket/a: no", "cannot open s3://***@bucket/a: no"),
        ("s3a://AKIAIOSFODNN7EXAMPLE@bucket/a", "s3a://***@bucket/a"),
        ("https://user:pa:ss@host/a", "https://***@host/a"),
        ("hdfs://name:8020/user@x", "hdfs://name:8020/user@x"),
        ("abfss://c@acc.dfs.core.windows.net/a?sv=2020&sig=a%2Bb", "abfss://c@acc.dfs.core.windows.net/a?sv=***&sig=***"),
        (f"spark.hadoop.fs.s3a.secret.key={SECRET}", "spark.hadoop.fs.s3a.secret.key=***"),
        (f"{{'fs.s3a.access.key': 'AKIAIOSFODNN7EXAMPLE', 'fs.s3a.secret.key': '{SECRET}'}}",
         "{'fs.s3a.access.key': '***', 'fs.s3a.secret.key': '***'}"),
        (f'fs.azure.account.key.acc.dfs.core.windows.net = "{SECRET}"',
         'fs.azure.account.key.acc.dfs.core.windows.net = "***"'),
        ("the key AKIAIOSFODNN7EXAMPLE does not exist", "the key *** does not exist"),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer ***"),
        ("tokenizer.path = 'a', n_tokens: 5, token: the", "tokenizer.path = 'a', n_tokens: 5, token: the"),
    ],
)  # fmt: skip
def test_credentials_are_removed(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    ("before", "hidden", "after"),
    [
        ("://a:" * 20_000, "", ""),
        ("see " + "s3://a/" * 15_000 + "://", "user:pass", "@host"),
        ("secret" * 17_000 + "=", "hunter2", ""),
        ("x-amz-" * 17_000 + ": ", "hunter2", ", b"),
        ("passw " * 17_000, "", ""),
        ("\n" * 100_000 + "secret.key = '", "hunter2", "'"),
    ],
    ids=["no host", "many slashes", "one long name", "one long header", "names without values", "many lines"],
)
def test_long_texts_are_redacted_in_linear_time(before: str, hidden: str, after: str) -> None:
    shown = "***" if hidden else ""
    assert redact(before + hidden + after) == before + shown + after
    assert reason(OSError(f"{before}{hidden}{after}")) == printable(f"{before}{shown}{after}".strip().splitlines()[0])


def test_secret_values_of_the_environment_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert redact(f"signed with {SECRET}.") == "signed with ***."


def test_names_are_printed_without_what_a_terminal_acts_on() -> None:
    assert printable("a\nb\x1b[31m\u202e水 é\udce9") == "a\\nb\\x1b[31m\\u202e水 é\\udce9"


def test_the_causes_of_an_error_of_delta_rs_are_in_its_line() -> None:
    branch = "\x1b[31m↳\x1b[0m"
    error = OSError(
        f"Generic LocalFileSystem error\n   {branch} Unable to copy\n    {branch} No space left on device\n"
    )
    assert reason(error) == "Generic LocalFileSystem error: Unable to copy: No space left on device"
    assert reason(OSError("first\nsecond")) == "first"
    with pytest.raises(FileNotFoundError) as missing:
        fs.LocalFileSystem().open_input_stream("/no/such")
    assert reason(missing.value) == "Failed to open local file '/no/such': No such file or directory"
    assert reason(OSError()) == "OSError"


@pytest.mark.parametrize(
    "text",
    [
        "https://ghp_hunter2hunter2@maven.example/a",
        "Authorization: Basic aHVudGVyMjpodW50ZXIy",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\nhunter2\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_credentials_of_other_forms_are_not_shown(text: str) -> None:
    shown = redact(text)
    assert "***" in shown
    assert "hunter2" not in shown
    assert "aHVudGVy" not in shown
