"""A rejected record has the source and the id that it would have as a document, where they can be known."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pivot_udfs.settings import Corpus, CorpusFields
from pivot_udfs.shards.quarantine_reasons import Rejected
from pivot_udfs.shards.read_shard import read_shard

KEY = ("web", "7")
GOOD = {"id": "7", "source": "web", "text": "eau"}
LINES: list[tuple[bytes, str, tuple[str | None, str | None]]] = [
    (json.dumps(GOOD | {"text": " "}).encode(), "blank_text", KEY),
    (json.dumps(GOOD | {"text": None}).encode(), "missing_text", KEY),
    (json.dumps(GOOD | {"text": "x" * 200}).encode(), "document_too_large", KEY),
    (json.dumps(GOOD | {"text": "y" * 9000}).encode(), "record_too_large", KEY),
    (json.dumps({"big": "y" * 9000} | GOOD).encode(), "record_too_large", (None, None)),
    (json.dumps(GOOD | {"source": 12, "text": ""}).encode(), "blank_text", ("12", "7")),
    (json.dumps(GOOD | {"id": None}).encode(), "missing_id", ("web", None)),
    (json.dumps(GOOD | {"id": [1]}).encode(), "id_not_string", ("web", None)),
    (json.dumps(GOOD | {"source": [1]}).encode(), "source_not_string", (None, "7")),
    (b'{"id": "7", "text": ""}', "blank_text", ("shard", "7")),
    (json.dumps(GOOD).encode()[:-1], "not_json", KEY),
    (json.dumps(GOOD).encode() + b"\xff", "invalid_utf8", KEY),
    (b'{"id": "7", "source": "w\\u0065b", "text": "\\ud800"}', "lone_surrogate", KEY),
    (b'{"id": 7, "source" : "web", "text": "\\"source\\": \\"other\\""', "not_json", KEY),
    (b'{"id": 7.5, "text": "a"', "not_json", ("shard", None)),
    (b"{", "not_json", ("shard", None)),
]


def rejected(path: Path, corpus: Corpus) -> list[Rejected]:
    return [record for record in read_shard(str(path), corpus) if isinstance(record, Rejected)]


@pytest.mark.parametrize(("line", "reason", "key"), LINES)
def test_a_bad_line_has_its_key(tmp_path: Path, line: bytes, reason: str, key: tuple[Any, Any]) -> None:
    (tmp_path / "shard.jsonl").write_bytes(line)
    corpus = Corpus(inputs=["x"], max_document_bytes=100, max_record_bytes=8000)
    [found] = rejected(tmp_path / "shard.jsonl", corpus)
    assert (found.reason, found.source, found.doc_id) == (reason, *key)


@pytest.mark.parametrize("is_json", [True, False])
def test_keys_are_those_of_the_configured_fields(tmp_path: Path, is_json: bool) -> None:
    line = b'{"meta": {"site": "web", "url": "u"}, "source": "no", "id": "no", "text": ""' + (b"}" if is_json else b"")
    (tmp_path / "shard.jsonl").write_bytes(line)
    for fields, key in (
        (CorpusFields(id="meta.url", source="meta.site"), ("web", "u")),
        (CorpusFields(id="", source=""), ("shard", f"{tmp_path}/shard.jsonl:0")),
    ):
        [found] = rejected(tmp_path / "shard.jsonl", Corpus(inputs=["x"], fields=fields))
        assert (found.source, found.doc_id) == key


def test_a_bad_row_of_parquet_has_its_key(tmp_path: Path) -> None:
    columns = {"id": ["7", None, "9"], "source": ["web", "web", None], "text": ["", "a", " "]}
    pq.write_table(pa.table(columns), tmp_path / "shard.parquet")
    found = [(row.source, row.doc_id) for row in rejected(tmp_path / "shard.parquet", Corpus(inputs=["x"]))]
    assert found == [("web", "7"), ("web", None), ("shard", "9")]


def test_the_rest_of_a_damaged_shard_keeps_no_bytes_as_they_have_no_key(tmp_path: Path) -> None:
    import gzip

    whole = gzip.compress("".join(json.dumps(GOOD | {"text": f"{n}" * 50}) + "\n" for n in range(900)).encode())
    (tmp_path / "shard.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    [found] = rejected(tmp_path / "shard.jsonl.gz", Corpus(inputs=["x"]))
    assert (found.reason, found.raw, found.source) == ("corrupt_stream", None, None)
