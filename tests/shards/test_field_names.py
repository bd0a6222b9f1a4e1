"""Fields under other names: keys, columns, dotted paths, and none at all; JSON and Parquet alike."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_files import read, reasons_of, write

from pivot_udfs.settings import Corpus, CorpusFields
from pivot_udfs.shards.quarantine_reasons import REASONS
from pivot_udfs.shards.validate_record import Document

CORPORA: dict[str, tuple[dict[str, str], dict[str, Any], tuple[str, str, str | None, str]]] = {
    "c4": (
        {"id": "url"},
        {"url": "https://a.example/1", "text": "eau", "timestamp": "2020"},
        ("x", "https://a.example/1", None, "eau"),
    ),
    "oscar": (
        {"text": "content", "id": "warc_headers.warc-record-id", "lang": "metadata.identification.label"},
        {
            "content": "eau",
            "warc_headers": {"warc-record-id": "<urn:uuid:1>", "content-length": "9"},
            "metadata": {"identification": {"label": "fr", "prob": 0.9}, "annotations": None},
        },
        ("x", "<urn:uuid:1>", "fr", "eau"),
    ),
    "redpajama": (
        {"text": "raw_content", "id": "digest", "source": "source_domain", "lang": "language"},
        {"raw_content": "eau", "digest": "sha1:A", "source_domain": "a.example", "language": "fr", "line_ids": [0]},
        ("a.example", "sha1:A", "fr", "eau"),
    ),
    "slimpajama": (
        {"id": "url", "source": "meta.redpajama_set_name"},
        {"text": "eau", "url": "u", "meta": {"redpajama_set_name": "RedPajamaC4"}},
        ("RedPajamaC4", "u", None, "eau"),
    ),
    "hplt": (
        {},
        {"id": "u", "text": "eau", "lang": ["fra_Latn", "eng_Latn"], "prob": [0.9, 0.1], "doc_scores": [9.0, 8.1]},
        ("x", "u", "fr", "eau"),
    ),
    "a name with a dot within a path": (
        {"source": "meta.page.site.name"},
        {"id": "u", "text": "eau", "meta": {"page": {"site.name": "whole", "site": {"name": "path"}}}},
        ("whole", "u", None, "eau"),
    ),
    "fineweb": (
        {"lang": "language", "source": "dump"},
        {"id": "u", "text": "eau", "language": "fra", "dump": "CC-1", "language_score": 0.9},
        ("CC-1", "u", "fr", "eau"),
    ),
    "a key with a dot before a path": (
        {"id": "meta.id"},
        {"meta.id": "whole", "meta": {"id": "path"}, "text": "eau"},
        ("x", "whole", None, "eau"),
    ),
    "labels that are not used": ({"lang": ""}, {"id": "u", "text": "eau", "lang": "de"}, ("x", "u", None, "eau")),
    "sources that are not used": ({"source": ""}, {"id": "u", "text": "eau", "source": "s"}, ("x", "u", None, "eau")),
}


def limits_of(fields: dict[str, str]) -> Corpus:
    return Corpus(inputs=["."], max_document_bytes=1_000, max_record_bytes=5_000, fields=CorpusFields(**fields))


def both(folder: Path, rows: list[dict[str, Any]]) -> list[Path]:
    pq.write_table(pa.Table.from_pylist(rows), folder / "x.parquet")
    return [folder / "x.parquet", write(folder, b"\n".join(json.dumps(row).encode() for row in rows))]


@pytest.mark.parametrize("corpus", CORPORA)
def test_fields_of_other_corpora_are_found(tmp_path: Path, corpus: str) -> None:
    fields, row, expected = CORPORA[corpus]
    source, doc_id, lang, text = expected
    for path in both(tmp_path, [row, row]):
        assert read(path, limits_of(fields)) == [Document(k, source, doc_id, lang, text) for k in range(2)]


def test_without_an_id_field_shard_and_record_are_the_id(tmp_path: Path) -> None:
    for path in both(tmp_path, [{"text": "a"}, {"text": ""}, {"text": "c"}]):
        found = read(path, limits_of({"id": ""}))
        assert reasons_of(found) == [None, "blank_text", None]
        assert [item.doc_id for item in found if isinstance(item, Document)] == [f"{path}:0", f"{path}:2"]


@pytest.mark.parametrize("meta", [None, "text", 3, [], ["id"], {}, {"id": None}])
def test_a_path_that_leads_nowhere_is_a_missing_field(tmp_path: Path, meta: Any) -> None:
    path = write(tmp_path, json.dumps({"text": "a", "meta": meta}).encode())
    found = read(path, limits_of({"id": "meta.id"}))
    assert reasons_of(found) == ["missing_id"]
    assert "meta.id is missing" in str(found[0])


def test_a_null_struct_is_a_missing_field(tmp_path: Path) -> None:
    rows = [{"text": "a", "meta": {"id": "1"}}, {"text": "b", "meta": None}]
    for path in both(tmp_path, rows):
        assert reasons_of(read(path, limits_of({"id": "meta.id"}))) == [None, "missing_id"]


@pytest.mark.parametrize("path", ["other.x", "other.x.y", "text.x", "meta.y", "meta.x.y", "meta.", ".x", "."])
def test_an_optional_path_that_the_shard_lacks_is_a_missing_field(tmp_path: Path, path: str) -> None:
    for shard in both(tmp_path, [{"id": "1", "text": "eau", "meta": {"x": 1}}]):
        assert read(shard, limits_of({"lang": path, "source": path})) == [Document(0, "x", "1", None, "eau")]


@pytest.mark.parametrize("field", ["id", "text"])
def test_a_required_path_whose_first_column_is_missing_is_named(tmp_path: Path, field: str) -> None:
    path = both(tmp_path, [{"id": "1", "text": "eau"}])[0]
    found = read(path, limits_of({field: "other.x"}))
    assert reasons_of(found) == ["missing_columns"]
    assert "no column other.x among id, text" in str(found[0])


def test_missing_columns_are_named_as_they_were_set(tmp_path: Path) -> None:
    path = both(tmp_path, [{"doc": "a", "meta": {"x": "b"}}])[0]
    found = read(path, limits_of({"id": "meta.id", "text": "raw"}))
    assert reasons_of(found) == ["missing_columns"]
    assert "no column meta.id and raw among doc, meta" in str(found[0])


PAGE = (Path(__file__).parents[2] / "docs" / "shards.md").read_text(encoding="utf-8")


def test_the_page_lists_every_reason_with_its_meaning() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert rows == REASONS


@pytest.mark.parametrize("setting", re.findall(r"`corpus\.fields = (\{.*?\})`", PAGE))
def test_the_settings_on_the_page_can_be_used(setting: str) -> None:
    assert CorpusFields(**tomllib.loads(f"fields = {setting}")["fields"])
