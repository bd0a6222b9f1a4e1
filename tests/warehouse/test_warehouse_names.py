"""Warehouses with similar names keep their rows apart, on both sides, whatever their names contain."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_corpus import SmallCorpus, must_work, run_job

from jobs.gpu.common.read_tables import open_table, read_columns

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAMES = ["a b", "a%20b", "a%2520b", "tab\tback\\slash#?"]

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]


def test_each_warehouse_has_its_own_rows_after_every_run(
    spark: "SparkSession", corpus: SmallCorpus, tmp_path: Path
) -> None:
    from jobs import tokenize_corpus

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
