"""Warehouses with similar names keep their rows apart, on both sides, whatever their names contain."""

import json
from pathlib import Path

import pytest
from changing_shards import changing_shards
from local_frames import run_without_spark
from small_corpus import must_work, run_job

from jobs import tokenize_corpus
from jobs.gpu.common.read_tables import open_table, read_columns

NAMES = ["a b", "a%20b", "a%2520b", "tab\tback\\slash#?"]


def test_each_warehouse_has_its_own_rows_after_every_run(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_without_spark(monkeypatch)
    corpus = changing_shards(tmp_path_factory.mktemp("corpus"))
    for number, name in enumerate(NAMES * 2):
        lines = [json.dumps({"id": f"{number % 4}-{row}", "text": "plain water"}) for row in range(1 + number % 4)]
        (tmp_path / f"{number % 4}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        inputs = f"corpus.inputs={tmp_path}/{number % 4}.jsonl"
        must_work(run_job(tokenize_corpus.main, corpus, inputs, f"warehouse.path={tmp_path}/{name}"))
    for number, name in enumerate(NAMES):
        expected = [f"{number}-{row}" for row in range(1 + number)]
        rows = read_columns(open_table(f"{tmp_path}/{name}", "documents"), ["doc_id"])
        assert sorted(rows.column("doc_id").to_pylist()) == expected
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == sorted(NAMES)
