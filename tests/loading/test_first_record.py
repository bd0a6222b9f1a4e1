"""What a dry run says of the first record of a corpus."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_files import line_of, write

from jobs.loading.first_record import describe_first_record
from pivot_udfs.errors import StoreError
from pivot_udfs.settings import Corpus
from pivot_udfs.shards.list_shards import Shard


def describe(path: Path, **fields: str) -> str:
    corpus = Corpus.model_validate({"inputs": [str(path)], "fields": fields})
    return describe_first_record([Shard(str(path), 1, 0), Shard("/nowhere.jsonl", 1, 0)], corpus)


@pytest.mark.parametrize(
    ("line", "fields", "expected"),
    [
        (line_of(), {}, "source 'wiki', id 'a', language: label fr"),
        (line_of(id=7), {"source": "no.such", "lang": ""}, "source 'x', id '7', language: no usable label, so that"),
        (line_of(id="\x1b[31m"), {}, r"id '\\x1b[31m'"),
        (line_of(), {"text": "content"}, "missing_text (content is missing or null; expected a string); set corpus.fi"),
        (line_of(), {"id": "url"}, "missing_id (url is missing, null or empty; expected a string or an integer); set "),
        (b"[", {}, "would be rejected: not_json ("),
        (b"", {}, "would be rejected: empty_shard (the file holds no record)"),
    ],
)
def test_what_the_first_record_becomes(tmp_path: Path, line: bytes, fields: dict[str, str], expected: str) -> None:
    found = describe(write(tmp_path, line), **fields)
    assert expected in found
    assert found.startswith("WARNING: ") == ("would be rejected" in found)


def test_columns_that_a_shard_lacks_are_named_with_those_that_it_has(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["a"], "content": ["eau"]}), tmp_path / "x.parquet")
    assert "no column id and text among url, content; set corpus.fields" in describe(tmp_path / "x.parquet")


def test_a_shard_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"x\.jsonl cannot be read"):
        describe(tmp_path / "x.jsonl")
