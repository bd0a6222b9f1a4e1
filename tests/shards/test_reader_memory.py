"""Memory of a reader on inputs that are small on disk and large when they are read; a process each."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

SMALL = [{"id": str(number), "text": "eau"} for number in range(2)]
EXTRA_MB = 160
READER = """
import json, sys
from collections import Counter
from pivot_udfs.settings import Corpus
from pivot_udfs.shards.read_shard import read_shard

def peak_mb():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) >> 10

limits = Corpus(inputs=["."], max_document_bytes=1 << 24, max_record_bytes=1 << 26)
list(read_shard(sys.argv[1], limits))
before = peak_mb()
found = Counter(getattr(record, "reason", "document") for record in read_shard(sys.argv[2], limits))
print(json.dumps([peak_mb() - before, found]))
"""


def repeated_source(path: Path) -> dict[str, int]:
    """A key of 8 MB that one dictionary entry gives to 80 rows: 640 MB."""
    source = pa.array(["s" * 8_000_000]).take(pa.array([0] * 80))
    table = pa.table({"id": [str(k) for k in range(80)], "text": ["eau"] * 80, "source": source})
    pq.write_table(table, path.with_suffix(".parquet"), compression="gzip")
    return {"key_too_long": 80}


def large_texts(path: Path) -> dict[str, int]:
    """Forty texts of 8 MB, each a page: 320 MB."""
    schema = pa.schema([("id", pa.string()), ("text", pa.string())])
    with pq.ParquetWriter(path.with_suffix(".parquet"), schema, compression="zstd", use_dictionary=False) as writer:
        for number in range(40):
            writer.write_table(pa.table({"id": [str(number)], "text": [f"{number} eau " * 1_000_000]}))
    return {"document": 40}


def repeated_text(path: Path) -> dict[str, int]:
    """One text of 8 MB for 80 rows: 640 MB."""
    texts = pa.array(["eau " * 2_000_000]).take(pa.array([0] * 80))
    table = pa.table({"id": [str(k) for k in range(80)], "text": texts})
    pq.write_table(table, path.with_suffix(".parquet"), compression="zstd")
    return {"document": 80}


def repeated_label(path: Path) -> dict[str, int]:
    """A label of 30 kB that one dictionary entry gives 30,000 times to one row: 900 MB."""
    _one_row(path, pa.array([["z" * 30_000] * 30_000]))
    return {"document": 1}


def repeated_label_without_dictionary(path: Path) -> dict[str, int]:
    """The same label stored 4,000 times: 120 MB."""
    _one_row(path, pa.array([["z" * 30_000] * 4_000]), use_dictionary=False)
    return {"document": 1}


def missing_labels(path: Path) -> dict[str, int]:
    """Twenty million missing labels in one row."""
    items = pa.nulls(20_000_000, pa.string())
    _one_row(path, pa.ListArray.from_arrays(pa.array([0, len(items)], "int32"), items))
    return {"page_too_large": 1}


def _one_row(path: Path, lang: pa.Array, **options: Any) -> None:
    table = pa.table({"id": ["a"], "text": ["eau"], "lang": lang})
    pq.write_table(table, path.with_suffix(".parquet"), compression="zstd", **options)


def line(path: Path, parts: tuple[bytes, bytes, bytes, int]) -> dict[str, int]:
    """A line with a field of repeated units, in brackets or quotes, and a small line."""
    field, form, unit, times = parts
    lines = [b'{"id": "a", "text": "eau", "%s": %s}' % (field, form % (unit * times)), json.dumps(SMALL[0]).encode()]
    path.with_suffix(".jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(b"\n".join(lines)))
    return {"document": 2}


LINES = {
    "empty_objects": (b"other", b"[%b{}]", b"{},", 4_000_000),
    "empty_lists_as_labels": (b"lang", b"[%b{}]", b"[],", 4_000_000),
    "empty_objects_and_nan": (b"other", b"[%bNaN]", b"{},", 4_000_000),
    "numbers_that_json_does_not_have": (b"other", b"[%b1]", b"NaN,", 4_000_000),
    "lone_surrogates": (b"other", b'"%b"', b"\\ud800", 2_000_000),
}
"""Field, form, unit and number of units; four million empty objects are 256 MB as Python objects."""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's peak of memory")
@pytest.mark.parametrize(
    "make",
    [
        *(repeated_source, large_texts, repeated_text),
        *(repeated_label, repeated_label_without_dictionary, missing_labels),
        *(pytest.param(partial(line, parts=parts), id=name) for name, parts in LINES.items()),
    ],
)
def test_a_reader_needs_little_memory_whatever_a_shard_expands_to(
    tmp_path: Path, make: Callable[[Path], dict[str, int]]
) -> None:
    expected = make(tmp_path / "large")
    large = next(tmp_path.iterdir())
    small = tmp_path / f"small{large.suffix}"
    if large.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(SMALL), small)
    else:
        small.write_bytes(zstandard.ZstdCompressor().compress(json.dumps(SMALL[0]).encode()))
        small = small.rename(tmp_path / "small.jsonl.zst")
    run = subprocess.run([sys.executable, "-c", READER, small, large], capture_output=True, text=True, check=True)
    extra_mb, found = json.loads(run.stdout)
    assert found == expected
    assert extra_mb < EXTRA_MB
