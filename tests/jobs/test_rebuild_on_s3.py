"""A whole rebuild in an object store, by Spark, pyarrow and delta-rs, gives the rows of a local one."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from golden_outputs import read_golden, table_hash
from s3_server import make_bucket, put, s3_server
from small_corpus import must_work, run_job, write_small_corpus

from jobs import rebuild_corpus

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TOKENIZER = Path(__file__).parents[1] / "samples" / "tokenizer.json"
PLACES = {
    "corpus.inputs": "shards", "tokenizer.path": "tokenizer.json",
    "lexicon.path": "lexicon.tsv", "warehouse.path": "warehouse",
}  # fmt: skip


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_a_rebuild_in_an_object_store_gives_the_rows_of_a_local_one(
    spark: "SparkSession", s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_small_corpus(tmp_path)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")  # for delta-rs, as this test reads tables by it
    with s3_server(port=s3_port) as address:
        bucket = make_bucket(address, __name__, monkeypatch)
        for path in [*(tmp_path / "shards").rglob("*.*"), tmp_path / "lexicon.tsv"]:
            put(f"s3://{bucket}/{path.relative_to(tmp_path)}", path.read_bytes())
        put(f"s3://{bucket}/tokenizer.json", TOKENIZER.read_bytes())
        settings = [f"{key}=s3a://{bucket}/{name}" for key, name in PLACES.items()]
        must_work(run_job(rebuild_corpus.main, corpus, *settings, 'selection.arms=["pivot"]'))
        golden = {name: value for stage in read_golden().values() for name, value in stage["outputs"].items()}
        for table in ("documents", "quarantine", "token_cooccurrence", "word_cooccurrence", "pivots", "datasets/pivot"):
            assert table_hash(f"s3://{bucket}/warehouse/{table}", f"s3://{bucket}") == golden[table], table
        _, printed, errors = run_job(rebuild_corpus.main, corpus, *settings, 'selection.arms=["pivot"]', dry=True)
        assert printed.count("would be skipped") == 6, printed + errors
