"""Shards for the tests of the reader: how they are packed, and lines whose outcome is known."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard
from hypothesis import strategies as st

from pivot_udfs.settings import Corpus
from pivot_udfs.shards.list_shards import list_shards
from pivot_udfs.shards.quarantine_reasons import Rejected
from pivot_udfs.shards.read_shard import read_shard
from pivot_udfs.shards.validate_record import Document

LIMITS = Corpus(inputs=["."], max_document_bytes=1_000, max_record_bytes=5_000)
GOOD = {"id": "a", "text": "l'eau 水 😀", "source": "wiki", "lang": "fr"}


def pack_zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACK: dict[str, Callable[[bytes], bytes]] = {
    ".jsonl": bytes,
    ".json.gz": gzip.compress,
    ".ndjson.zst": pack_zstd,
}


def with_limits(**changes: int) -> Corpus:
    """``LIMITS`` with other values of some."""
    return LIMITS.model_copy(update=changes)


def read(path: Path, limits: Corpus = LIMITS) -> list[Document | Rejected]:
    return list(read_shard(str(path), limits))


def listed_names(folder: Path, *inputs: str) -> list[str]:
    """The shards of these inputs, relative to the folder."""
    return [shard.path.removeprefix(f"{folder}/") for shard in list_shards(inputs)]


def write(folder: Path, data: bytes, name: str = "x.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def line_of(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}, ensure_ascii=False).encode()


def _without(name: str) -> dict[str, str]:
    return {key: value for key, value in GOOD.items() if key != name}


def reasons_of(found: list[Document | Rejected]) -> list[str | None]:
    return [item.reason if isinstance(item, Rejected) else None for item in found]


BAD_LINES: list[tuple[bytes, str]] = [
    (b"", "blank_line"),
    (b" \t\r", "blank_line"),
    (b"{", "not_json"),
    (b'{"id": "a", "text": "b"} x', "not_json"),
    (b"\0", "not_json"),
    (b"[" * 3_000, "not_json"),
    (b'{"a":' * 900, "not_json"),
    (b"[]", "not_an_object"),
    (b'"text"', "not_an_object"),
    (b"null", "not_an_object"),
    (b"[NaN]", "not_an_object"),
    (b'["\\ud800"]', "not_an_object"),
    (b'{"id": "a", "text": "\xff"}', "invalid_utf8"),
    (b'{"id": "a", "text": "\xed\xa0\x80"}', "invalid_utf8"),
    ('{"id": "a", "text": "é"}'.encode("latin-1"), "invalid_utf8"),
    (b'{"id": "a", "text": "b \\ud800 c"}', "lone_surrogate"),
    (b'{"id": "\\udc00", "text": "b"}', "lone_surrogate"),
    (json.dumps(_without("text")).encode(), "missing_text"),
    (line_of(text=None), "missing_text"),
    (line_of(text=1.5), "text_not_string"),
    (line_of(text=["a"]), "text_not_string"),
    (line_of(text=False), "text_not_string"),
    (line_of(text=""), "blank_text"),
    (line_of(text=" \n\u3000"), "blank_text"),
    (line_of(text="a\0b"), "nul_character"),
    (line_of(id="a\0"), "nul_character"),
    (line_of(source="\0"), "nul_character"),
    (line_of(text="水" * 334), "document_too_large"),
    (json.dumps(_without("id")).encode(), "missing_id"),
    (line_of(id=None), "missing_id"),
    (line_of(id=""), "missing_id"),
    (line_of(id=7.5), "id_not_string"),
    (line_of(id=True), "id_not_string"),
    (line_of(id="y" * 4_097), "key_too_long"),
    (line_of(source="水" * 1_366), "key_too_long"),
    (line_of(id={}), "id_not_string"),
    (line_of(id=0).replace(b"0", b"9" * 4_500), "id_not_string"),
    (line_of(id=float("nan")), "id_not_string"),
    (line_of(text=float("-inf")), "text_not_string"),
    (line_of(source=3.5), "source_not_string"),
    (line_of(source=["wiki"]), "source_not_string"),
    (line_of(other="y" * 5_000), "record_too_large"),
]

UNUSABLE_LABELS: list[Any] = [
    *(
        [],
        {},
        {"fr": 1},
        [["fr"]],
        [None, 1],
        3,
        1.5,
        True,
        False,
        "f\0",
        "nan",
        "NaN",
        " nan",
        "und",
        "zxx",
        "mis",
        "MIS",
    ),
    *("", "\t", "und-Latn"),
]

GOOD_LINES: list[tuple[bytes, tuple[str, str, str | None, str]]] = [
    (line_of(), ("wiki", "a", "fr", GOOD["text"])),
    (line_of() + b"\r", ("wiki", "a", "fr", GOOD["text"])),
    (line_of(source=None, lang=None), ("x", "a", None, GOOD["text"])),
    (line_of(source="", lang=""), ("x", "a", None, GOOD["text"])),
    (line_of(lang=" "), ("wiki", "a", None, GOOD["text"])),
    (line_of(lang="English"), ("wiki", "a", None, GOOD["text"])),
    (line_of(lang="fr?"), ("wiki", "a", None, GOOD["text"])),
    (line_of(lang="fr" + "-variant" * 5), ("wiki", "a", None, GOOD["text"])),
    (line_of(lang="eng_Latn"), ("wiki", "a", "en", GOOD["text"])),
    *[(line_of(lang=lang), ("wiki", "a", None, GOOD["text"])) for lang in UNUSABLE_LABELS],
    (line_of(lang=["und", None, 3, {}, "fra_Latn", "eng_Latn"]), ("wiki", "a", "fr", GOOD["text"])),
    (line_of(lang="zh-min-nan"), ("wiki", "a", "nan", GOOD["text"])),
    (b'{"text": "b", "id": "1", "lang": "\\ud800"}', ("x", "1", None, "b")),
    (line_of(id=-7, source=2**70), (str(2**70), "-7", "fr", GOOD["text"])),
    (line_of(id="y" * 4_096, text="b"), ("wiki", "y" * 4_096, "fr", "b")),
    (b'{"text": "b", "id": "1"}', ("x", "1", None, "b")),
    (b'{"text": "b", "id": "0", "id": "1"}', ("x", "1", None, "b")),
    (b'{"text": "b", "id": "1", "score": NaN}', ("x", "1", None, "b")),
    (b'{"text": "b", "id": "1", "score": 1e999}', ("x", "1", None, "b")),
    (b'{"text": "NaN \\" b", "id": "1", "score": [-Infinity, "NaN"]}', ("x", "1", None, 'NaN " b')),
    (b'{"text": "b", "id": "1", "score": ' + b"9" * 4_500 + b"}", ("x", "1", None, "b")),
    (b'{"text": "b", "id": "1", "title": "\\ud800"}', ("x", "1", None, "b")),
    (b'{"text": "\\ud83d\\ude00", "id": "1", "score": NaN}', ("x", "1", None, "😀")),
    (line_of(text="<|endoftext|> </s>"), ("wiki", "a", "fr", "<|endoftext|> </s>")),
    (line_of(text="y" * 1_000), ("wiki", "a", "fr", "y" * 1_000)),
    (line_of(text="水" * 333), ("wiki", "a", "fr", "水" * 333)),
]

LINE = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([line for line, _ in BAD_LINES + GOOD_LINES]),
    st.builds(lambda text: line_of(text=text), st.text(st.characters(codec="utf-8"), max_size=40)),
)


def many_lines(count: int) -> bytes:
    return b"".join(
        line_of(id=str(number), text=f"{number * 7919 % 10007} eau " * 9) + b"\n" for number in range(count)
    )
