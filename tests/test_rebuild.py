"""What a rebuild skips and why it runs, what it records, and the warehouses that it refuses to mix with."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tokenizer_files
from small_corpus import SmallCorpus, must_work, run_job, stages_run

from pivot_udfs.load_settings import load_settings
from pivot_udfs.schemas import TABLES
from pivot_udfs.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]
STAGES = ["tokenize_corpus", "count_cooccurrence", "find_pivots", "score_documents", "filter_documents"]
Job = Callable[..., int]


def job(name: str) -> Job:
    import importlib

    main: Job = importlib.import_module(f"jobs.{name}").main
    return main


def history(spark: "SparkSession", corpus: SmallCorpus, table: str) -> list[dict[str, Any]]:
    from delta.tables import DeltaTable

    commits = DeltaTable.forPath(spark, str(corpus.folder / "warehouse" / table)).history().collect()
    return [row.asDict() for row in commits]


def files_in(folder: Path) -> dict[str, int]:
    """Every file and when it was last changed, but for the report, which is written every time."""
    tables = [path for path in sorted(folder.rglob("*")) if "report.html" not in path.name and path != folder]
    return {str(path): path.stat().st_mtime_ns for path in tables}


@pytest.fixture
def copy(corpus: SmallCorpus, tmp_path: Path) -> tuple[SmallCorpus, str]:
    """The rebuilt corpus, and the override that points at a copy of its warehouse."""
    shutil.copytree(corpus.folder / "warehouse", tmp_path / "warehouse")
    return replace(corpus), f"warehouse.path={tmp_path}/warehouse"


def test_a_second_rebuild_skips_everything_and_says_why(spark: "SparkSession", corpus: SmallCorpus) -> None:
    before = files_in(corpus.folder / "warehouse")
    told = must_work(run_job(job("rebuild_corpus"), corpus, "cooccurrence.memory_budget_mb=700"))
    assert stages_run(told) == []
    for stage in STAGES:
        assert f"{stage}: skipped: inputs, configuration and code are unchanged" in told
    assert files_in(corpus.folder / "warehouse") == before


def test_a_changed_setting_reruns_what_depends_on_it(spark: "SparkSession", copy: tuple[SmallCorpus, str]) -> None:
    corpus, warehouse = copy
    told = must_work(run_job(job("rebuild_corpus"), corpus, warehouse, "pivots.n_pivots=20"))
    assert stages_run(told) == STAGES[2:]
    assert "find_pivots: runs: pair_pivots was made with pivots.n_pivots = 150, now 20" in told
    assert "score_documents: runs: document_scores was made with pivots = 0, now 1" in told
    pivots = spark.read.format("delta").load(warehouse.partition("=")[2] + "/pivots")
    assert pivots.count() == 20


def test_recipes_are_in_the_history(spark: "SparkSession", corpus: SmallCorpus) -> None:
    fingerprints: dict[str, set[str]] = {}
    for table in [*TABLES, "datasets/pivot"]:
        commits = history(spark, corpus, table)
        assert [row["version"] for row in commits] == [0]
        recipe = json.loads(commits[0]["userMetadata"])
        assert set(recipe) == {"job", "code_version", "fingerprint", "settings", "inputs", "files"}
        assert len(recipe["fingerprint"]) == 64
        assert recipe["code_version"].startswith("0.1.0+")
        fingerprints.setdefault(recipe["job"], set()).add(recipe["fingerprint"])
    assert {name: len(found) for name, found in fingerprints.items()} == dict.fromkeys(STAGES, 1)
    recipe = json.loads(history(spark, corpus, "token_cooccurrence")[0]["userMetadata"])
    assert recipe["inputs"] == {"documents": 0}
    assert recipe["settings"]["cooccurrence.window"] == 50
    assert set(recipe["files"]) == {"tokenizer", "lexicon"}
    assert "cooccurrence.memory_budget_mb" not in recipe["settings"]


def test_tables_of_another_configuration_are_refused(
    corpus: SmallCorpus, spark: "SparkSession", tmp_path: Path
) -> None:
    other_words = tmp_path / "other.tsv"
    other_words.write_bytes((corpus.folder / "lexicon.tsv").read_bytes() + b"\n")
    cases = [
        ("find_pivots", "cooccurrence.window=5", "made with cooccurrence.window = 50, this run says 5"),
        ("find_pivots", f"lexicon.path={other_words}", "made with another lexicon"),
        ("count_cooccurrence", f"tokenizer.path={tokenizer_files.byte_level(tmp_path)}", "made with another tokenizer"),
        ("score_documents", "pivots.association=llr", "made with pivots.association = npmi, this run says llr"),
    ]
    before = files_in(corpus.folder / "warehouse")
    for name, override, told in cases:
        code, _, errors = run_job(job(name), corpus, override)
        assert (code, "WarehouseError" in errors, told in errors) == (2, True, True), errors
        assert "run " in errors.split(told)[1]
    assert files_in(corpus.folder / "warehouse") == before


def test_a_foreign_table_is_left_as_it_is(spark: "SparkSession", corpus: SmallCorpus, tmp_path: Path) -> None:
    foreign = tmp_path / "documents"
    spark.range(3).write.format("delta").save(str(foreign))
    code, _, errors = run_job(job("tokenize_corpus"), corpus, f"warehouse.path={tmp_path}")
    assert code == 2
    assert "WarehouseError" in errors
    assert "not written by this project" in errors
    assert spark.read.format("delta").load(str(foreign)).columns == ["id"]
    code, _, errors = run_job(job("count_cooccurrence"), corpus, f"warehouse.path={tmp_path}")
    assert (code, "has no column source" in errors) == (2, True), errors


@pytest.mark.parametrize(("name", "table", "maker"), [("count_cooccurrence", "documents", "tokenize_corpus")])
def test_a_missing_table_is_told(
    corpus: SmallCorpus, spark: "SparkSession", tmp_path: Path, name: str, table: str, maker: str
) -> None:
    code, _, errors = run_job(job(name), corpus, f"warehouse.path={tmp_path}/nothing")
    assert code == 2
    assert f"no table {table} at {tmp_path}/nothing/{table}" in errors
    assert f"run {maker} first" in errors


def test_inputs_that_hold_nothing_are_told(corpus: SmallCorpus, spark: "SparkSession", tmp_path: Path) -> None:
    code, _, errors = run_job(
        job("tokenize_corpus"), corpus, f"warehouse.path={tmp_path}/w", f"corpus.inputs={tmp_path}/x*.jsonl"
    )
    assert (code, "CorpusError" in errors) == (2, True), errors
    (tmp_path / "bad.jsonl").write_bytes(b"{\n[]\n")
    code, _, errors = run_job(
        job("tokenize_corpus"), corpus, f"warehouse.path={tmp_path}/w", f"corpus.inputs={tmp_path}/bad.jsonl"
    )
    assert (code, "none of 2 records is a document" in errors) == (2, True), errors


def test_dry_run_prints_and_writes_nothing(corpus: SmallCorpus, spark: "SparkSession", tmp_path: Path) -> None:
    override = f"warehouse.path={tmp_path}/new"
    code, printed, errors = run_job(job("rebuild_corpus"), corpus, override, dry=True)
    assert code == 0, errors
    toml, _, plan = printed.partition("tokenize_corpus: would run")
    (tmp_path / "again.toml").write_text(toml, encoding="utf-8")
    assert load_settings(str(tmp_path / "again.toml"), [], Settings) == load_settings(
        corpus.config, [override], Settings
    )
    assert "writes" in plan
    assert f"{tmp_path}/new/documents" in plan
    assert "count_cooccurrence: would run: documents will be new" in plan
    assert not (tmp_path / "new").exists()
    before = files_in(corpus.folder / "warehouse")
    _, printed, _ = run_job(job("rebuild_corpus"), corpus, dry=True)
    assert printed.count("unchanged since it last ran") == len(STAGES)
    assert files_in(corpus.folder / "warehouse") == before


def test_faults_of_the_command_line_end_with_2(corpus: SmallCorpus) -> None:
    code, _, errors = run_job(job("find_pivots"), corpus, "pivots.n_pivotz=3")
    assert (code, "did you mean 'n_pivots'" in errors) == (2, True)
    with pytest.raises(SystemExit):
        job("find_pivots")([])


def test_the_code_version_covers_all_that_a_stage_runs() -> None:
    """A change in any module that shapes a stage's tables must run the stage again."""
    from jobs.code_version import _reached

    assert {"jobs.filter_documents", "jobs.select_documents", "pivot_udfs.filter_documents"} <= _reached(
        "jobs.filter_documents"
    )
    assert "pivot_udfs.cooccurrence_kernel" in _reached("jobs.count_cooccurrence")
    assert "pivot_udfs.match_words" not in _reached("jobs.filter_documents")
