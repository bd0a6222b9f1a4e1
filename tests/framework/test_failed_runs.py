"""Runs that fail: what they leave is never taken for finished, and the message is short."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from small_corpus import SmallCorpus, must_work, run_job

from pivot_udfs.shards.list_shards import list_shards

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]


def test_a_run_that_lost_records_is_run_again(
    spark: "SparkSession", corpus: SmallCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs import count_cooccurrence, rebuild_corpus, tokenize_corpus

    whole = tokenize_corpus.tokenize_corpus

    def lose_rejected(batches: Iterator[pa.RecordBatch], **options: Any) -> Iterator[tuple[str, pa.RecordBatch]]:
        return (row for row in whole(batches, **options) if row[0] == "documents")

    shutil.copy(corpus.folder / "shards" / "a.jsonl", tmp_path)
    overrides = (
        f"corpus.inputs={tmp_path}/a.jsonl",
        f"warehouse.path={tmp_path}/warehouse",
    )
    with monkeypatch.context() as patched:
        patched.setattr(tokenize_corpus, "tokenize_corpus", lose_rejected)
        for _ in range(2):
            code, _, written = run_job(rebuild_corpus.main, corpus, *overrides)
            assert (code, "but wrote" in written, "tokenize_corpus: runs: " in written) == (75, True, True), written
        code, _, written = run_job(count_cooccurrence.main, corpus, *overrides)
        assert (code, "tokenize_corpus" in written) == (2, True), written
    written = must_work(run_job(tokenize_corpus.main, corpus, *overrides))
    assert "records = " in written
    _, printed, errors = run_job(rebuild_corpus.main, corpus, *overrides, dry=True)
    assert "tokenize_corpus: would be skipped" in printed, printed + errors


def test_a_corpus_without_documents_stays_one(spark: "SparkSession", corpus: SmallCorpus, tmp_path: Path) -> None:
    from jobs import rebuild_corpus

    (tmp_path / "bad.jsonl").write_bytes(b"{\n[]\n")
    overrides = f"corpus.inputs={tmp_path}/bad.jsonl", f"warehouse.path={tmp_path}/warehouse"
    for _ in range(2):
        code, _, written = run_job(rebuild_corpus.main, corpus, *overrides)
        assert (code, "none of 2 records is a document" in written) == (2, True), written
        assert not (tmp_path / "warehouse" / "quarantine" / "_delta_log").exists()


def test_a_shard_that_cannot_be_read_stops_the_run(
    spark: "SparkSession", corpus: SmallCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs import tokenize_corpus
    from jobs.framework import run_context

    overrides = f"corpus.inputs={tmp_path}/a.jsonl", f"warehouse.path={tmp_path}/warehouse"
    shutil.copy(corpus.folder / "shards" / "a.jsonl", tmp_path)
    with monkeypatch.context() as patched:
        lost = list_shards([f"{tmp_path}/a.jsonl"])
        (tmp_path / "a.jsonl").rename(tmp_path / "elsewhere")
        patched.setattr(run_context, "list_shards", lambda inputs: lost)
        code, _, written = run_job(tokenize_corpus.main, corpus, *overrides)
    assert code == 2, written
    assert f"tokenize_corpus: StoreError: shard {tmp_path}/a.jsonl cannot be read: " in written.splitlines()[-1]
    assert not (tmp_path / "warehouse" / "quarantine" / "_delta_log").exists()
    (tmp_path / "elsewhere").rename(tmp_path / "a.jsonl")
    must_work(run_job(tokenize_corpus.main, corpus, *overrides))


def test_a_batch_with_too_many_rejected_records_is_not_committed(
    spark: "SparkSession", corpus: SmallCorpus, tmp_path: Path
) -> None:
    from jobs import tokenize_corpus

    overrides = f"warehouse.path={tmp_path}/warehouse", "corpus.max_quarantine_share=0.01"
    code, _, written = run_job(tokenize_corpus.main, corpus, *overrides)
    n_records = len(corpus.documents) + len(corpus.reasons)
    assert code == 2, written
    assert f"{len(corpus.reasons)} of {n_records} records are rejected" in written.splitlines()[-1]
    assert not list((tmp_path / "warehouse").glob("*/_delta_log"))


def run_in_workers(error: str, message: str) -> Any:
    """A job whose workers raise."""
    from jobs.framework.run_stages import with_run

    def body(run: Any) -> None:
        def step(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            from pivot_udfs import errors

            raise getattr(errors, error, ValueError)(message)
            yield from batches

        run.spark.range(1).mapInArrow(step, "id long").collect()

    def main(argv: Sequence[str]) -> int:
        return with_run("a_job", "", [], body, argv)

    return main


def test_errors_of_workers_are_reported(spark: "SparkSession", corpus: SmallCorpus) -> None:
    code, _, written = run_job(run_in_workers("TokenizerError", "no such token: change tokenizer.path"), corpus)
    lines = [line for line in written.splitlines() if line]
    assert code == 2
    assert lines == ["a_job: TokenizerError: no such token: change tokenizer.path"]
    code, _, written = run_job(run_in_workers("unknown", "by chance"), corpus)
    assert code == 1
    assert written.splitlines()[-1] == "a_job: a worker failed: ValueError: by chance"
    assert "Traceback (most recent call last)" in written


def test_other_errors_keep_their_traceback(spark: "SparkSession", corpus: SmallCorpus) -> None:
    from jobs.framework.run_stages import with_run

    def main(argv: Sequence[str]) -> int:
        return with_run("a_job", "", [], lambda run: {}["key"], argv)

    code, _, written = run_job(main, corpus)
    assert (code, written.splitlines()[-1]) == (1, "KeyError: 'key'")
