"""The first step: every record becomes a document or a rejection, with the ids of the reference library."""

import gzip
import json
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import counted
import pyarrow as pa
import pytest
import shard_files
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from jobs.framework.task_sizes import pack_files
from pivot_udfs import tokenize_corpus as step
from pivot_udfs.schemas import TABLES
from pivot_udfs.settings import Corpus
from pivot_udfs.shards import read_shard
from pivot_udfs.text import identify_language
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenize_corpus import (
    ShardCount,
    ShardCounts,
    ShardCountsMerge,
    TokenizePlan,
    tokenize_corpus,
)

LIMITS = Corpus(inputs=["."], max_document_bytes=20_000, max_record_bytes=50_000)
BAD_LINES = [(line, reason) for line, reason in shard_files.BAD_LINES if not reason.endswith("too_large")]
SIZES = st.lists(st.integers(0, 10**9), max_size=30).map(lambda sizes: [(f"s{k:02}", n) for k, n in enumerate(sizes)])


def tasks(*numbers: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(numbers, pa.int64())], ["id"])


@given(sizes=SIZES, n_tasks=st.integers(1, 12))
def test_pack_files_puts_each_shard_in_one_group(sizes: list[tuple[str, int]], n_tasks: int) -> None:
    groups = pack_files(sizes, n_tasks)
    assert sorted(path for group in groups for path in group) == [path for path, _ in sizes]
    assert len(groups) == min(n_tasks, len(sizes))
    assert all(groups)
    assert groups == pack_files(sizes[::-1], n_tasks)


@given(sizes=SIZES, n_tasks=st.integers(1, 12))
def test_pack_files_is_even(sizes: list[tuple[str, int]], n_tasks: int) -> None:
    """No group exceeds the emptiest by more than its own last shard (greedy scheduling's bound)."""
    bytes_of = dict(sizes)
    loads = [[bytes_of[path] for path in group] for group in pack_files(sizes, n_tasks)]
    for load in loads:
        assert sum(load) - min(load) <= min(map(sum, loads)) + len(sizes)


@given(sizes=st.lists(st.integers(0, 9), max_size=40), n_tasks=st.integers(1, 12))
def test_pack_files_gives_each_shard_to_the_emptiest_group(sizes: list[int], n_tasks: int) -> None:
    """The rule in its simplest form, with many shards of one size; of equally empty groups the first."""
    shards = [(f"s{number:02}", size) for number, size in enumerate(sizes)]
    groups: list[list[str]] = [[] for _ in range(min(n_tasks, len(shards)))]
    loads = [0] * len(groups)
    for path, size in sorted(shards, key=lambda shard: (-shard[1], shard[0])):
        emptiest = loads.index(min(loads))
        groups[emptiest].append(path)
        loads[emptiest] += size + 1
    assert pack_files(shards, n_tasks) == tuple(tuple(sorted(group)) for group in groups)


def test_pack_files_is_quick_with_as_many_tasks_as_shards() -> None:
    """Looking at every group for every shard would compare two million times."""
    n_compared = 0

    class Size(int):
        def __lt__(self, other: int) -> bool:
            nonlocal n_compared
            n_compared += 1
            return int(self) < int(other)

        def __add__(self, other: int) -> "Size":
            return Size(int(self) + int(other))

        __radd__ = __add__

    sizes = [(f"s{number:04}", Size(number)) for number in range(2_000)]
    assert len(pack_files(sizes, 2_000)) == 2_000
    assert n_compared < 100_000


@pytest.fixture
def shards(tmp_path: Path) -> dict[str, int]:
    """Path and number of bytes of shards with every kind of line."""
    good = [{"id": f"g{k}", "source": "web", "text": text, "lang": lang} for k, (lang, text) in enumerate(real_texts())]
    special = {"id": "s", "text": "a <|endoftext|> b <|im_start|>", "lang": "en"}
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in [*good, special]]
    shard_files.write(tmp_path, b"\n".join(lines), "good.jsonl")
    bad = [line for line, _ in BAD_LINES]
    shard_files.write(tmp_path, gzip.compress(b"\n".join([*lines[:3], *bad, *lines[3:6]])), "bad.jsonl.gz")
    shard_files.write(tmp_path, b"", "empty.jsonl")
    shard_files.write(tmp_path, gzip.compress(b"\n".join(lines))[:-40], "cut.jsonl.gz")
    return {str(path): path.stat().st_size for path in sorted(tmp_path.iterdir())}


def real_texts() -> list[tuple[str, str]]:
    return [(lang, text[:3_000]) for _, texts in counted.sample_texts() for lang, text in texts[:6]]


def run(
    plan: TokenizePlan, batches: list[pa.RecordBatch]
) -> tuple[list[dict[str, object]], list[dict[str, object]], ShardCounts]:
    counts: ShardCounts = {}
    rows: dict[str, list[dict[str, object]]] = {"documents": [], "quarantine": []}
    for table, batch in tokenize_corpus(iter(batches), plan, counts.update):
        assert batch.schema == TABLES[table].schema
        rows[table] += batch.to_pylist()
    return rows["documents"], rows["quarantine"], counts


def test_records_are_documents_or_quarantine(
    shards: dict[str, int], sample_tokenizer: TokenizerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "BATCH_CHARACTERS", 2_000)
    monkeypatch.setattr(step, "_BATCH_DOCUMENTS", 5)
    plan = TokenizePlan(pack_files(list(shards.items()), 2), LIMITS, sample_tokenizer)
    documents, rejected, counts = run(plan, [tasks(0), tasks(), tasks(1)])
    assert set(counts) == set(shards)
    for shard in shards:
        got = (sum(row["shard"] == shard for row in documents), sum(row["shard"] == shard for row in rejected))
        assert got == counts[shard][:2]
        reasons = Counter(str(row["reason"]) for row in rejected if row["shard"] == shard)
        assert {of.reason: of.n_records for of in counts[shard].rejections} == reasons
        assert {of.shards for of in counts[shard].rejections} <= {(shard,)}
    bad = next(path for path in shards if path.endswith("bad.jsonl.gz"))
    assert [row["reason"] for row in rejected if row["shard"] == bad] == [reason for _, reason in BAD_LINES]
    reasons = {Path(str(row["shard"])).name: row["reason"] for row in rejected if row["shard"] != bad}
    assert reasons == {"empty.jsonl": "empty_shard", "cut.jsonl.gz": "corrupt_stream"}
    places = [(row["shard"], row["record"]) for row in [*documents, *rejected]]
    assert len(set(places)) == len(places)


def test_ids_equal_those_of_the_reference_library(shards: dict[str, int], sample_tokenizer: TokenizerSpec) -> None:
    reference = tokenizers.Tokenizer.from_file(str(counted.SAMPLES / "tokenizer.json"))
    reference.encode_special_tokens = True
    documents, _, counts = run(TokenizePlan((tuple(shards),), LIMITS, sample_tokenizer), [tasks(0)])
    assert len(documents) > 80
    for row in documents:
        assert row["token_ids"] == reference.encode(str(row["text"]), add_special_tokens=False).ids
        assert row["n_tokens"] == len(row["token_ids"])
    assert sum(count.n_tokens for count in counts.values()) == sum(int(str(row["n_tokens"])) for row in documents)


def test_languages_are_kept_or_identified(tmp_path: Path, sample_tokenizer: TokenizerSpec) -> None:
    texts = [
        "Where is the nearest library, please?",
        "Où se trouve la bibliothèque, s'il vous plaît ?",
        "図書館はどこにありますか。",
    ]
    lines = [json.dumps({"id": str(k), "text": text}) for k, text in enumerate(texts)]
    lines.append(json.dumps({"id": "x", "text": texts[0], "lang": "zh"}))
    path = shard_files.write(tmp_path, "\n".join(lines).encode())
    documents, rejected, _ = run(TokenizePlan(((str(path),),), LIMITS, sample_tokenizer), [tasks(0)])
    assert [row["lang"] for row in documents] == ["en", "fr", "ja", "zh"]
    assert rejected == []


def test_the_language_model_is_not_read_where_every_record_has_a_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_tokenizer: TokenizerSpec
) -> None:
    def fail() -> None:
        pytest.fail("the model was read")

    monkeypatch.setattr(identify_language, "language_model", fail)
    path = shard_files.write(tmp_path, shard_files.line_of(lang="fr-CA"))
    documents, _, _ = run(TokenizePlan(((str(path),),), LIMITS, sample_tokenizer), [tasks(0)])
    assert [row["lang"] for row in documents] == ["fr"]


def test_a_retried_task_is_counted_once() -> None:
    merge = ShardCountsMerge()
    one, other = ShardCount(1, 2, 3), ShardCount(4, 5, 6)
    left = merge.addInPlace(merge.zero({}), {"a": one})
    assert merge.addInPlace(left, {"a": one, "b": other}) == {"a": one, "b": other}


def test_a_shard_with_rejected_records_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_tokenizer: TokenizerSpec
) -> None:
    opened: list[str] = []
    open_shard = read_shard.open_shard

    def count(path: str, *, seekable: bool) -> AbstractContextManager[BinaryIO]:
        opened.append(path)
        return open_shard(path, seekable=seekable)

    monkeypatch.setattr(read_shard, "open_shard", count)
    path = str(shard_files.write(tmp_path, b"\n".join([shard_files.line_of(), b"{", shard_files.line_of()])))
    documents, rejected, _ = run(TokenizePlan(((path,),), LIMITS, sample_tokenizer), [tasks(0)])
    assert ([row["record"] for row in documents], [row["record"] for row in rejected]) == ([0, 2], [1])
    assert opened == [path]
