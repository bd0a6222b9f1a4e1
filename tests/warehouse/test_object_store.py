"""Shards, tokenizer, lexicon and tables in an object store, reached from the environment and without a JVM."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from s3_server import make_bucket, put, s3_server

from jobs import maintain_warehouse
from jobs.maintain_warehouse import table_names
from jobs.warehouse import run_marker
from jobs.warehouse.conditional_put import check_conditional_put
from jobs.warehouse.delta.commit import commit_files
from jobs.warehouse.delta.commit_history import read_content
from jobs.warehouse.delta.maintenance import maintain_table, purge
from jobs.warehouse.delta.open_table import check_files, open_delta, stored_files
from jobs.warehouse.run_marker import mark_in_use
from pivot_udfs.errors import CorpusError, StoreError, WarehouseError
from pivot_udfs.matching.lexicon import load_lexicon
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import TOKEN_TOTALS
from pivot_udfs.settings import Maintenance, Settings, Warehouse
from pivot_udfs.shards.list_shards import list_shards
from pivot_udfs.shards.open_shard import open_shard
from pivot_udfs.storage.stores import resolve, table_files
from pivot_udfs.storage.write_parquet import step_to_files
from pivot_udfs.tokenization.backends import load_tokenizer

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An empty bucket, which the environment leads to as it does on a cluster."""
    return make_bucket(server, request.node.name, monkeypatch)


def step(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
    return (("token_totals", batch) for batch in batches)


def test_shards_are_listed_and_read(bucket: str) -> None:
    payload = gzip.compress(b'{"id": "1", "text": "water"}\n')
    for name in ("a/one.jsonl.gz", "a/deep/two.jsonl.gz", "b/three.jsonl.gz", "b/_x.jsonl.gz"):
        put(f"s3a://{bucket}/corpus/{name}", payload)
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


def test_keys_are_taken_as_they_are(bucket: str) -> None:
    names = ("a b.jsonl", "a%20b.jsonl", "été#.jsonl")
    for name in names:
        put(f"s3://{bucket}/{name}", name.encode())
    shards = list_shards([f"s3://{bucket}"])
    assert [shard.path for shard in shards] == sorted(f"s3://{bucket}/{name}" for name in names)
    for shard in shards:
        with open_shard(shard.path) as stream:
            assert shard.path.endswith(stream.read().decode())


def test_a_missing_key_or_bucket_is_an_error_of_one_line(bucket: str) -> None:
    for given in (f"s3://{bucket}/gone/*.jsonl", f"s3://{bucket}/gone", "s3://no-such-bucket/a"):
        with pytest.raises(CorpusError, match=r"corpus\.inputs: ") as error:
            list_shards([given])
        assert "\n" not in str(error.value)


def test_tokenizer_and_lexicon_are_read(bucket: str) -> None:
    loaders: dict[str, Callable[[str], Any]] = {
        "tokenizer.json": load_tokenizer,
        "lexicon.tsv": lambda path: load_lexicon(path, ["en", "fr"]),
    }
    for name, load in loaders.items():
        uri = put(f"s3a://{bucket}/files/{name}", (SAMPLES / name).read_bytes())
        assert load(uri).sha256 == load(str(SAMPLES / name)).sha256


def test_a_table_is_written_by_workers_and_committed_by_the_driver(bucket: str) -> None:
    table, schema = resolve(f"s3a://{bucket}/ware house/token_totals"), TOKEN_TOTALS
    versions, began = [], None
    for count in (5, 7):
        row = {"token_id": 3, "count": count, "doc_count": 2}
        batch = pa.RecordBatch.from_pylist([row], schema=schema)
        steps = step_to_files(iter([batch]), step, {"token_totals": table.uri})
        files = pa.Table.from_batches(list(steps)).to_pylist()
        made = Provenance("count_cooccurrence", count)
        began = commit_files(table, began, schema, files, made)
        versions.append(began.version)
        read = open_delta(table)
        assert read is not None
        assert read.to_pyarrow_dataset(filesystem=table_files(table)).to_table().to_pylist() == [row]
        assert read_content(read).provenance == made
        check_files(table, read, read_content(read))
    assert versions == [0, 1]


def test_a_table_is_maintained_and_purged(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    root, schema, made = (
        resolve(f"s3a://{bucket}/ware house"),
        TOKEN_TOTALS,
        Provenance("a_job", 1),
    )
    table, began = root.child("token_totals"), None
    row = {"token_id": 3, "count": 1, "doc_count": 1}
    for _ in range(2):
        batch = pa.RecordBatch.from_pylist([row], schema=schema)
        steps = step_to_files(iter([batch]), step, {"token_totals": table.uri})
        began = commit_files(table, began, schema, pa.Table.from_batches(list(steps)).to_pylist(), made, ())
    assert table_names(root) == ["token_totals"]
    line = maintain_table(table, Maintenance(min_small_files=2, retention_hours=0), 64, [], dry_run=False)
    assert "compacted 2 files into 1, removed 2 files" in line
    maintain_warehouse.plan(Settings.model_construct(warehouse=Warehouse(path=root.uri), maintenance=Maintenance()))
    assert "let a lifecycle rule of the bucket remove them (docs/maintenance.md)" in capsys.readouterr().out
    put(f"{table.uri}/left.parquet", b"PAR1")
    assert purge(table) == 1
    read = open_delta(table)
    assert read is not None
    assert read.to_pyarrow_dataset(filesystem=table_files(table)).to_table().to_pylist() == [row, row]
    check_files(table, read, read_content(read))


def test_of_two_commits_onto_one_version_the_second_is_refused(bucket: str) -> None:
    table, schema, made = resolve(f"s3a://{bucket}/t"), TOKEN_TOTALS, Provenance("a_job", 1)
    began = commit_files(table, None, schema, [], made)
    commit_files(table, began, schema, [], Provenance("another", 1))
    with pytest.raises(WarehouseError, match="another run has written"):
        commit_files(table, began, schema, [], made)


def test_a_run_marks_a_warehouse_and_leaves_nothing(bucket: str) -> None:
    root = resolve(f"s3://{bucket}/ware house")
    with mark_in_use(root, "rebuild_corpus"):
        with pytest.raises(WarehouseError, match="shows another run: rebuild_corpus"), mark_in_use(root, "another"):
            pytest.fail("the second run went on")
        assert len(stored_files(root)) == 1
    assert stored_files(root) == {}


def test_a_server_without_conditional_writes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server("ignores_conditions") as address:
        root = resolve(f"s3://{make_bucket(address, 'refused', monkeypatch)}/warehouse")
        with pytest.raises(StoreError, match="has no conditional writes"), mark_in_use(root, "rebuild_corpus"):
            pytest.fail("the run went on")
        monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
        with pytest.raises(StoreError, match="has no conditional writes"), mark_in_use(root, "rebuild_corpus"):
            pytest.fail("the run went on")
        assert not root.exists()


def test_a_store_that_cannot_be_asked_for_conditional_writes_is_refused(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "not known whether" in str(check_conditional_put(resolve("s3://no-such-bucket/warehouse")))
    assert check_conditional_put(resolve(f"s3://{bucket}/warehouse")) is None
    monkeypatch.setattr(run_marker, "check_conditional_put", lambda _: "it is not known whether")
    with pytest.raises(StoreError, match="not known whether"), mark_in_use(resolve(f"s3://{bucket}/w"), "a_job"):
        pytest.fail("the run went on")
