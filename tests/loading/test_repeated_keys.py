"""Repeated keys among new documents are counted in the files of these, wherever the documents of a key lie."""

from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs.framework.stage import Run
from jobs.loading.compare_shards import LoadedShard
from jobs.loading.repeated_keys import describe_new_keys, describe_repeated_keys
from pivot_udfs.schemas import DOCUMENTS
from pivot_udfs.settings import Corpus, Lexicon, Settings, Tokenizer, Warehouse
from pivot_udfs.storage.write_parquet import rows_of_table, step_to_files
from pivot_udfs.tokenize_corpus import ShardCount


def write(run: Run, keys: list[tuple[str, str]]) -> dict[str, int]:
    """A file of documents with these keys; its bytes by path."""
    values = {"text": "", "token_ids": [], "lang": "en", "n_tokens": 0, "shard": "s", "record": 0}
    rows = [values | {"source": source, "doc_id": doc_id} for source, doc_id in keys]
    step = partial(rows_of_table, table="documents", schema=DOCUMENTS)
    uris = {"documents": run.warehouse.location("documents").uri}
    written = step_to_files(iter([pa.RecordBatch.from_pylist(rows, DOCUMENTS)]), step, uris)
    return {file["path"]: file["n_bytes"] for batch in written for file in batch.to_pylist()}


@pytest.mark.spark
def test_documents_that_share_a_key_are_counted(spark: SparkSession, tmp_path: Path) -> None:
    settings = Settings(
        corpus=Corpus(inputs=["shards"]),
        warehouse=Warehouse(path=str(tmp_path)),
        tokenizer=Tokenizer(path="tokenizer.json"),
        lexicon=Lexicon(path="lexicon.tsv", languages=["en", "fr"]),
    )
    run = Run(spark, settings)
    distinct = [(source, str(number)) for source in "ab" for number in range(500)]
    files = [write(run, distinct), write(run, [("a", "7"), ("a", "7"), ("b", "8"), ("ab", "7")]), write(run, distinct)]
    assert describe_repeated_keys(run, {}, 0) is None
    assert describe_repeated_keys(run, files[0], 1000) is None
    repeated = describe_repeated_keys(run, files[0] | files[1], 1004)
    assert repeated == "5 documents share 2 keys (source, doc_id)"
    sampled = describe_repeated_keys(run, files[0] | files[2], 2000, most_keys=100)
    assert sampled is not None
    n_shared, n_keys, one_in = (int(word) for word in sampled.split() if word.isdigit())
    assert n_shared == 2 * n_keys
    assert 20 < n_keys < 100
    assert one_in == 20


@pytest.mark.parametrize(
    ("n_blocked", "content_id", "is_said"), [(0, "a", True), (1, "a", True), (2, "a", False), (0, "b", False)]
)
def test_forgotten_records_that_come_back_under_another_name_are_said(
    n_blocked: int, content_id: str, is_said: bool
) -> None:
    loaded = [LoadedShard(path, "a", 9, 0, 5, 0, 9, 0, n) for path, n in (("old", 2), ("older", 1))]
    counts = {"new": ShardCount(1, 0, 9, (), content_id, n_blocked), "other": ShardCount(1, 0, 9, (), "c")}
    found = describe_new_keys(counts, loaded)
    assert (found is not None) == is_said
    assert found is None or found.startswith("records of 1 shards, such as new, were forgotten under keys made from")
