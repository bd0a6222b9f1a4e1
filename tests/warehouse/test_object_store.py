"""Shards and tables in an object store: what the workers read and write there by themselves, without a JVM."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from jobs.warehouse.commit import commit_files
from jobs.warehouse.lineage import read_content
from jobs.warehouse.open_table import check_files, open_delta
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import TABLES
from pivot_udfs.shards.list_shards import list_shards, open_shard
from pivot_udfs.storage.stores import resolve
from pivot_udfs.storage.write_parquet import one_table, step_to_files

SERVER = Path(__file__).parents[1] / "helpers" / "s3_server.py"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "anyone", "AWS_SECRET_ACCESS_KEY": "anything", "AWS_REGION": "us-east-1"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket that the environment leads to, as it does on a cluster."""
    with subprocess.Popen([sys.executable, SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{int(server.stdout.readline())}"
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": address, "AWS_EC2_METADATA_DISABLED": "true"}).items():
            monkeypatch.setenv(name, value)
        yield f"bucket{address.rsplit(':', 1)[1]}"  # connections are kept by bucket
        server.terminate()


def put(path: str, payload: bytes) -> None:
    store, place = fs.FileSystem.from_uri(f"s3://{path}")
    with store.open_output_stream(place, compression=None) as stream:
        stream.write(payload)


def test_shards_are_listed_and_read(bucket: str) -> None:
    payload = gzip.compress(b'{"id": "1", "text": "water"}\n')
    for name in ("a/one.jsonl.gz", "a/deep/two.jsonl.gz", "b/three.jsonl.gz"):
        put(f"{bucket}/corpus/{name}", payload)
    paths = {given: [shard.path for shard in list_shards([given])] for given in (
        f"s3a://{bucket}/corpus/a", f"s3a://{bucket}/corpus/**/t*.jsonl.gz")}  # fmt: skip
    root = f"s3://{bucket}/corpus"
    assert list(paths.values()) == [
        [f"{root}/a/deep/two.jsonl.gz", f"{root}/a/one.jsonl.gz"],
        [f"{root}/a/deep/two.jsonl.gz", f"{root}/b/three.jsonl.gz"],
    ]
    (shard,) = list_shards([f"s3a://{bucket}/corpus/b/three.jsonl.gz"])
    assert shard.n_bytes == len(payload)
    with open_shard(shard.path) as stream:
        assert stream.read() == payload
    with open_shard(shard.path, seekable=True) as stream:
        stream.seek(4)
        assert stream.read() == payload[4:]


def test_a_table_is_written_by_workers_and_committed_by_the_driver(bucket: str) -> None:
    uri, schema = f"s3a://{bucket}/warehouse/token_totals", TABLES["token_totals"]
    written, began = [], None
    for count in (5, 7):
        row = {"token_id": 3, "count": count, "doc_count": 2}
        batch = pa.RecordBatch.from_pylist([row], schema=schema)
        steps = step_to_files(iter([batch]), lambda b: one_table(b, iter, "token_totals"), {"token_totals": uri})
        files = pa.Table.from_batches(list(steps)).to_pylist()
        made = Provenance("count_cooccurrence", count, "")
        written.append(began := commit_files(resolve(uri), began, schema, files, made))
        table = open_delta(resolve(uri))
        assert table is not None
        assert table.to_pyarrow_table().to_pylist() == [row]
        assert read_content(table).provenance == made
        check_files(resolve(uri), table, read_content(table))
    assert [content.version for content in written] == [0, 1]
