"""Workers copy the chosen documents from their files, and nothing that was chosen is lost unnoticed."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pivot_udfs.errors import WarehouseError
from pivot_udfs.filter_documents import copy_chosen, count_held, record_ranges
from pivot_udfs.schemas import DATASET, DOCUMENTS
from pivot_udfs.storage import read_parquet

DENSITIES = ("pivot_density", "shrunken_density")


def write_documents(path: Path, rows: list[dict[str, Any]], rows_per_group: int) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), path, row_group_size=rows_per_group)


CUTS = {"en": 0.25}


def make_documents(draw: random.Random, shards: Sequence[str]) -> list[dict[str, Any]]:
    """Documents in order of shards; gaps between record numbers stand for quarantined records."""
    rows = []
    for shard in shards:
        for record in sorted(draw.sample(range(20), draw.randrange(12))):
            ids = [draw.randrange(9) for _ in range(draw.randrange(5))]
            row = {
                "source": "s",
                "doc_id": f"{shard}-{record}",
                "lang": draw.choice(["en", "fr"]),
                "text": "é" * record,
            }
            rows.append(row | {"token_ids": ids, "n_tokens": len(ids), "shard": shard, "record": record})
    return rows


def keys_of(rows: Sequence[dict[str, Any]], file: str, draw: random.Random) -> list[dict[str, Any]]:
    return [
        {"file": file, "shard": row["shard"], "record": row["record"]}
        | {name: draw.random() for name in DENSITIES}
        | {"pivot": draw.random() < 0.5, "random": draw.random() < 0.5}
        for row in rows
    ]


def copied(keys: list[dict[str, Any]], folder: Path, batch_size: int) -> dict[str, list[dict[str, Any]]]:
    texts, flags = [("file", pa.string()), ("shard", pa.string())], [("pivot", pa.bool_()), ("random", pa.bool_())]
    schema = pa.schema([*texts, ("record", pa.int64()), *((name, pa.float64()) for name in DENSITIES), *flags])
    batches = pa.Table.from_pylist(keys, schema=schema).to_batches(max_chunksize=batch_size)
    found: dict[str, list[dict[str, Any]]] = {"datasets/pivot": [], "datasets/random": []}
    for table, batch in copy_chosen(iter(batches), f"file:{folder}", ["pivot", "random"], None, CUTS):
        assert batch.schema == DATASET
        assert len(batch.column("shard").unique()) == 1
        found[table] += batch.to_pylist()
    return found


@pytest.mark.parametrize("seed", range(8))
def test_chosen_documents_are_copied_from_their_files(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any row groups, batch sizes, batches of keys, and order of a file's keys."""
    draw = random.Random(seed)  # noqa: S311 - a test's fixed draw
    monkeypatch.setattr(read_parquet, "_BATCH_BYTES", draw.choice([1, 500, 1 << 20]))
    keys: list[dict[str, Any]] = []
    documents: dict[tuple[str, int], dict[str, Any]] = {}
    for file, shards in {"f1": ["b", "a"], "f2": ["c"], "f3": ["é", "d", "zz"]}.items():
        rows = make_documents(draw, shards)
        write_documents(tmp_path / file, rows, draw.choice([1, 3, 100]))
        documents |= {(row["shard"], row["record"]): row for row in rows}
        keys += keys_of(draw.sample(rows, draw.randrange(len(rows) + 1)), file, draw)
    found = copied(keys, tmp_path, draw.choice([1, 4, 100]))
    for arm in ("pivot", "random"):
        wanted = [
            (row := documents[key["shard"], key["record"]])
            | {name: key[name] for name in DENSITIES}
            | {"cut": CUTS.get(row["lang"])}
            for key in keys
            if key[arm]
        ]
        got = {(row["shard"], row["record"]): row for row in found[f"datasets/{arm}"]}
        assert len(got) == len(found[f"datasets/{arm}"]) == len(wanted)
        assert got == {(row["shard"], row["record"]): row for row in wanted}


def test_a_chosen_document_that_no_file_can_hold_is_an_error(tmp_path: Path) -> None:
    draw = random.Random(0)  # noqa: S311 - a test's fixed draw
    rows = make_documents(draw, ["a", "b"])
    write_documents(tmp_path / "f", rows, 100)
    keys = keys_of(rows, "f", draw)
    with pytest.raises(WarehouseError, match="made from other documents; run score_documents again"):
        copied([*keys[:-1], keys[-1] | {"file": ""}], tmp_path, 100)


@pytest.mark.parametrize("other", [{"record": 99}, {"shard": "other"}])
def test_a_document_that_is_not_in_the_file_is_not_copied(other: dict[str, Any], tmp_path: Path) -> None:
    """The job counts the documents of each arm when all files are written."""
    draw = random.Random(0)  # noqa: S311 - a test's fixed draw
    rows = make_documents(draw, ["a", "b"])
    write_documents(tmp_path / "f", rows, 100)
    keys = [key | {"pivot": True} for key in keys_of(rows, "f", draw)]
    assert len(copied([*keys[:-1], keys[-1] | other], tmp_path, 100)["datasets/pivot"]) == len(rows) - 1


def test_record_ranges_are_those_of_each_file_and_shard(tmp_path: Path) -> None:
    draw = random.Random(0)  # noqa: S311 - a test's fixed draw
    wanted = []
    for file, shards in {"f1": ["b", "a"], "f2": ["a"], "f3": ["c"]}.items():
        rows = make_documents(draw, shards)
        write_documents(tmp_path / file, rows, 3)
        for shard in sorted({row["shard"] for row in rows}):
            records = [row["record"] for row in rows if row["shard"] == shard]
            wanted.append({"file": file, "shard": shard, "first": min(records), "last": max(records)})
    listed = pa.RecordBatch.from_pydict({"file": ["f1", "f2", "f3"]})
    found = [row for batch in record_ranges(iter([listed]), f"file:{tmp_path}") for row in batch.to_pylist()]
    assert sorted(found, key=lambda row: (row["file"], row["shard"])) == wanted


def test_renamed_columns_are_an_error(tmp_path: Path) -> None:
    draw = random.Random(0)  # noqa: S311 - a test's fixed draw
    rows = make_documents(draw, ["a", "b"])
    names = [f"col-{k}" for k in range(len(DOCUMENTS))]
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS).rename_columns(names), tmp_path / "f")
    with pytest.raises(WarehouseError, match=r"has no column doc_id, lang, .*column mapping"):
        copied(keys_of(rows, "f", draw), tmp_path, 100)


def test_an_arm_with_fewer_documents_than_chosen_is_an_error() -> None:
    from jobs.filter_documents import _check_all_there

    _check_all_there("pivot", 3, 3)
    with pytest.raises(WarehouseError, match=r"3 documents.*arm pivot, but 2.*score_documents"):
        _check_all_there("pivot", 3, 2)


def test_documents_and_tokens_are_counted_by_table_and_language(tmp_path: Path) -> None:
    """In files at any depth of a table's folder."""
    rows = [
        {"source": "s", "doc_id": str(n), "lang": lang, "text": "", "token_ids": [1] * n, "n_tokens": n, "shard": "a"}
        | {"record": n}
        for n, lang in enumerate(["en", "fr", "en"])
    ]
    files = ["document_scores/1.parquet", "datasets/pivot/1.parquet", "datasets/pivot/x/2.parquet"]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        write_documents(tmp_path / file, rows[: 2 if "scores" in file else 3], rows_per_group=2)
    batch = pa.record_batch({"file": files, "sign": [1, 1, 1]})
    found = pa.Table.from_batches(count_held(iter([batch]), f"file:{tmp_path}")).group_by(["table", "lang"])
    sums = found.aggregate([("n_docs", "sum"), ("n_tokens", "sum")]).to_pylist()
    assert {tuple(row.values()) for row in sums} == {
        ("document_scores", "en", 1, 0),
        ("document_scores", "fr", 1, 1),
        ("datasets/pivot", "en", 4, 4),
        ("datasets/pivot", "fr", 2, 2),
    }
