"""What a user names to be forgotten becomes rows of the block list."""

from pathlib import Path

import pytest

from jobs.forgetting.read_requests import read_keys, shards_named
from pivot_udfs.errors import ConfigError
from pivot_udfs.shards.block_list import Blocked

KEYS = {Blocked("web", "a b"), Blocked("été", "水")}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("keys.tsv", "source\tdoc_id\nweb\ta b\nété\t水\n"),
        ("keys.tsv", "web\ta b\r\nété\t水"),
        ("keys.tsv", "\ufeffsource\tdoc_id\nweb\ta b\n\nété\t水\n"),
        ("keys.tsv", "doc_id\tsource\na b\tweb\n水\tété\n"),
        ("keys.tsv", "Date\tSource\t Doc_ID \n1\tweb\ta b\n\tété\t水\t\t\n \t\t\n"),
        ("keys.tsv", '"source"\t"doc_id"\r\n"web"\t"a b"\r\nété\t"水"\r\n'),
        ("keys.tsv", '"source" \t"doc_id"\r\n "web"\t"a b" \r\n"été"\u3000\t"水" '),
        ("keys.txt", "source\tdoc_id\rweb\ta b\rweb\ta b\rété\t水\r"),
        ("keys.jsonl", '\ufeff{"source":"web","doc_id":"a b"} \r\n \r\n{"source":"été","doc_id":"水"}\t\r\n'),
        ("keys.jsonl", '{"source": "web", "doc_id": "a b", "why": 1}\n\n{"doc_id": "水", "source": "été"}\n'),
    ],
)
def test_keys_are_read_from_tsv_and_json_lines(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert read_keys(str(tmp_path / name)) == KEYS


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("keys.tsv", 'web\t"a\nb"', ("web", "a\nb")),
        ("keys.tsv", 'web\t"say ""yes"""', ("web", 'say "yes"')),
        ("keys.tsv", 'web\tsay "yes"', ("web", 'say "yes"')),
        ("keys.tsv", "web\t a ", ("web", " a ")),
        ("keys.tsv", "web\t ", ("web", " ")),
        ("keys.tsv", "\u3000\ta\t \t", ("\u3000", "a")),
        ("keys.tsv", "source\twhy\tdoc_id\nweb\t\t\u00a0\t ", ("web", "\u00a0")),
        ("keys.tsv", "web\te\u0301", ("web", "e\u0301")),
        ("keys.tsv", "web\thttps://a/?b=c&d=%20#e", ("web", "https://a/?b=c&d=%20#e")),
        ("keys.tsv", "7\t007", ("7", "007")),
        ("keys.jsonl", '{"source": 7, "doc_id": 12345678901234567890}', ("7", "12345678901234567890")),
        ("keys.jsonl", '{"source": "\u2028", "doc_id": "\x85 "}\r\n', ("\u2028", "\x85 ")),
        ("keys.jsonl", r'{"source": "a\tb", "doc_id": "\"\u2028\r"}', ("a\tb", '"\u2028\r')),
    ],
)
def test_keys_are_those_of_records_to_the_letter(tmp_path: Path, name: str, text: str, key: tuple[str, str]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert read_keys(str(tmp_path / name)) == {Blocked(*key)}


def test_keys_are_read_from_utf16_as_spreadsheets_and_shells_write_it(tmp_path: Path) -> None:
    tsv = "source\tdoc_id", "web\ta b", "été\t水"
    json_lines = '{"source": "web", "doc_id": "a b"}', '{"source": "été", "doc_id": "水"}'
    for name, of_file in (("keys.txt", tsv), ("keys.jsonl", json_lines)):
        (tmp_path / name).write_text("".join(f"{line}\r\n" for line in of_file), encoding="utf-16", newline="")
        assert read_keys(str(tmp_path / name)) == KEYS


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("keys.tsv", "", "has no key"),
        ("keys.tsv", "source\tdoc_id\n", "has no key"),
        ("keys.tsv", "web\n", "line 1 is not a source and a doc_id"),
        ("keys.tsv", "web\ta\nweb\t\n", "line 2 is not a source and a doc_id"),
        ("keys.tsv", "web\ta\tmore\n", "line 1 is not a source and a doc_id"),
        ("keys.tsv", "\n\nsource\tid\nweb\ta\n", "line 3, the header, has no column doc_id"),
        ("keys.tsv", "web\ta\t \tmore\n", "line 1 is not a source and a doc_id"),
        ("keys.tsv", "source\tdoc_id\nweb\t\n", "line 2 is not a source and a doc_id"),
        ("keys.tsv", "doc_id\tsource\na\n", "line 2 is not a source and a doc_id"),
        ("keys.csv", "source,doc_id\nweb,a\n", "line 1 is not a source and a doc_id.*; give JSON lines or a TSV"),
        ("keys.jsonl", '{"source": "web", "doc_id": 5.0}', "line 1 is not a source and a doc_id"),
        ("keys.jsonl", '{"source": "web", "doc_id": true}', "line 1 is not a source and a doc_id"),
        ("keys.jsonl", r'{"source": "web", "doc_id": "\ud800"}', "line 1 is not a source and a doc_id"),
        ("keys.json", '[{"source": "web", "doc_id": "a"}]', "line 1 is not a source and a doc_id"),
        ("keys.jsonl", "[1]", "line 1 is not a source and a doc_id"),
        ("keys.jsonl", "{", "cannot be read"),
        ("keys.jsonl", "[" * 5_000, "cannot be read"),
    ],
)
def test_a_line_that_is_no_key_is_an_error(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=reason):
        read_keys(str(tmp_path / name))


def test_a_file_that_is_missing_or_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "keys.tsv").write_bytes(b"web\t\xff\n")
    for name in ("keys.tsv", "nothing.tsv"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_keys(str(tmp_path / name))


LOADED = ["/data/a.jsonl", "/data/deep/b.jsonl", "/data/[c].jsonl", "s3://bucket/x/d.jsonl", "file:///old/sur%E9.jsonl"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("/data/a.jsonl", ["/data/a.jsonl"]),
        ("/data/*.jsonl", ["/data/[c].jsonl", "/data/a.jsonl"]),
        ("/data/**/*.jsonl", ["/data/[c].jsonl", "/data/a.jsonl", "/data/deep/b.jsonl"]),
        ("/data/deep", ["/data/deep/b.jsonl"]),
        ("/data/[c].jsonl", ["/data/[c].jsonl"]),
        ("s3a://bucket/x/*", ["s3://bucket/x/d.jsonl"]),
        ("/old/s*", ["file:///old/sur%E9.jsonl"]),
        ("/old/sur\udce9.jsonl", ["file:///old/sur%E9.jsonl"]),
    ],
)
def test_shards_are_named_as_in_the_inputs(given: str, found: list[str]) -> None:
    entries, missing = shards_named([given], LOADED)
    assert (sorted(entry.shard or "" for entry in entries), missing) == (found, [])


def test_a_path_that_is_not_loaded_is_blocked_and_a_glob_is_not() -> None:
    given = ["/data/new.jsonl", "/other/*", "gs://bucket/x/*", "/data/n\udce9.jsonl"]
    entries, missing = shards_named(given, LOADED)
    assert entries == {Blocked(shard="/data/new.jsonl"), Blocked(shard="file:///data/n%E9.jsonl")}
    assert missing == given
