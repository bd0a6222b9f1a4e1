"""What a rebuild skips and why it runs, what it records, and the warehouses that it refuses to mix with."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tokenizer_files
from deltalake import DeltaTable
from small_corpus import SmallCorpus, must_work, run_job, stages_run

from jobs.framework import run_summary
from pivot_udfs.load_settings import load_settings
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import STAGE_TABLES
from pivot_udfs.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]
STAGES = ["tokenize_corpus", "count_cooccurrence", "find_pivots", "score_documents", "filter_documents"]
Job = Callable[..., int]
OLD = {"id": "", "version": 7, "fingerprint": ""}


def job(name: str) -> Job:
    import importlib

    main: Job = importlib.import_module(f"jobs.{name}").main
    return main


def history(spark: "SparkSession", corpus: SmallCorpus, table: str) -> list[dict[str, Any]]:
    import delta.tables

    commits = delta.tables.DeltaTable.forPath(spark, str(corpus.folder / "warehouse" / table)).history().collect()
    return [row.asDict() for row in commits]


def files_in(folder: Path) -> dict[str, int]:
    """Every file of tables and pages, and when it was last changed."""
    others = (folder, folder / run_summary.FILE, folder / "_runs")
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path not in others}


def summary_of(warehouse: Path) -> dict[str, Any]:
    return dict(json.loads((warehouse / run_summary.FILE).read_text(encoding="utf-8")))


@pytest.fixture
def copy(corpus: SmallCorpus, tmp_path: Path) -> tuple[SmallCorpus, str]:
    """The rebuilt corpus, and the override that points at a copy of its warehouse."""
    shutil.copytree(corpus.folder / "warehouse", tmp_path / "warehouse")
    return replace(corpus), f"warehouse.path={tmp_path}/warehouse"


def test_a_second_rebuild_skips_everything_and_says_why(spark: "SparkSession", corpus: SmallCorpus) -> None:
    before = files_in(corpus.folder / "warehouse")
    log_text = must_work(run_job(job("rebuild_corpus"), corpus, "cooccurrence.memory_budget_mb=700"))
    assert stages_run(log_text) == []
    for stage in [*STAGES, "write_report"]:
        assert f"{stage}: skipped: inputs, configuration and code are unchanged" in log_text
    assert files_in(corpus.folder / "warehouse") == before
    summary = summary_of(corpus.folder / "warehouse")
    assert [(stage["stage"], stage["ran"]) for stage in summary["stages"]] == [
        (name, False) for name in (*STAGES, "write_report")
    ]
    assert summary["release"] is None


def test_a_changed_setting_reruns_what_depends_on_it(spark: "SparkSession", copy: tuple[SmallCorpus, str]) -> None:
    corpus, warehouse = copy
    log_text = must_work(run_job(job("rebuild_corpus"), corpus, warehouse, "pivots.n_pivots=20"))
    assert stages_run(log_text) == STAGES[2:]
    assert "find_pivots: runs: pair_pivots was made with settings pivots.n_pivots = 150, now 20" in log_text
    assert "score_documents: runs: document_scores was made with tables pivots = version 0 " in log_text
    folder = Path(warehouse.partition("=")[2])
    assert spark.read.format("delta").load(f"{folder}/pivots").count() == 20
    summary = summary_of(folder)
    assert [stage["stage"] for stage in summary["stages"] if stage["ran"]] == [*STAGES[2:], "write_report"]
    assert summary["stages"][2]["reason"] == "pair_pivots was made with settings pivots.n_pivots = 150, now 20"
    assert 0 < sum(stage["seconds"] for stage in summary["stages"]) <= summary["seconds"]
    assert (summary["release"], summary["tables"]["pivots"]["rows"], summary["tables"]["pivots"]["version"]) == (
        1,
        20,
        1,
    )
    for name, size in summary["tables"].items():
        files = [folder / name / path for path in DeltaTable(folder / name).to_pyarrow_dataset().files]
        assert (size["files"], size["bytes"]) == (len(files), sum(path.stat().st_size for path in files)), name


def test_every_commit_records_its_provenance(spark: "SparkSession", corpus: SmallCorpus) -> None:
    fingerprints: dict[str, set[str]] = {}
    for table in [*STAGE_TABLES, "datasets/pivot"]:
        commits = history(spark, corpus, table)
        assert [row["version"] for row in commits] == [0]
        made = Provenance.from_json(commits[0]["userMetadata"])
        assert made is not None
        assert made.fingerprint == json.loads(commits[0]["userMetadata"])["fingerprint"]
        fingerprints.setdefault(made.job, set()).add(made.fingerprint)
    made_in_two_steps = {"find_pivots": 2, "filter_documents": 2}
    assert {name: len(found) for name, found in fingerprints.items()} == dict.fromkeys(STAGES, 1) | made_in_two_steps
    made = Provenance.from_json(history(spark, corpus, "token_cooccurrence")[0]["userMetadata"])
    assert made is not None
    assert [(name, table.version) for name, table in made.tables.items()] == [("documents", 0)]
    assert made.settings["cooccurrence.window"] == 50
    assert set(made.files) == {"tokenizer", "lexicon"}
    assert "cooccurrence.memory_budget_mb" not in made.settings


def test_tables_of_another_configuration_are_refused(
    corpus: SmallCorpus, spark: "SparkSession", tmp_path: Path
) -> None:
    other_words = tmp_path / "other.tsv"
    other_words.write_bytes((corpus.folder / "lexicon.tsv").read_bytes() + b"\n")
    cases = [
        ("find_pivots", "cooccurrence.window=5", "made with cooccurrence.window = 50, this run has 5"),
        ("find_pivots", f"lexicon.path={other_words}", "made with another lexicon"),
        ("count_cooccurrence", f"tokenizer.path={tokenizer_files.byte_level(tmp_path)}", "made with another tokenizer"),
        ("score_documents", "pivots.association=llr", "made with pivots.association = npmi, this run has llr"),
    ]
    before = files_in(corpus.folder / "warehouse")
    for name, override, log_text in cases:
        code, _, errors = run_job(job(name), corpus, override)
        assert (code, "WarehouseError" in errors, log_text in errors) == (2, True, True), errors
        assert "run " in errors.split(log_text)[1]
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
    assert f"there is no table {table} at {tmp_path}/nothing/{table}" in errors
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
    assert printed.count("would be skipped: unchanged since it last ran") == len(STAGES) + 1
    assert files_in(corpus.folder / "warehouse") == before


def test_faults_of_the_command_line_end_with_2(corpus: SmallCorpus) -> None:
    code, _, errors = run_job(job("find_pivots"), corpus, "pivots.n_pivotz=3")
    assert (code, "did you mean 'n_pivots'" in errors) == (2, True)
    with pytest.raises(SystemExit):
        job("find_pivots")([])


def test_a_dry_run_of_one_job_says_what_that_job_does(copy: tuple[SmallCorpus, str]) -> None:
    corpus, warehouse = copy
    code, printed, errors = run_job(job("find_pivots"), corpus, warehouse, dry=True)
    assert (code, "find_pivots: would run: asked for, though unchanged" in printed) == (0, True), errors
    code, _, errors = run_job(job("find_pivots"), corpus, warehouse, "cooccurrence.window=5", dry=True)
    assert (code, "made with cooccurrence.window = 50, this run has 5" in errors) == (2, True)
    code, _, errors = run_job(job("find_pivots"), corpus, f"{warehouse}/none", dry=True)
    assert (code, "no table corpus_totals" in errors) == (2, True)


def test_the_report_is_written_again_when_it_would_differ(copy: tuple[SmallCorpus, str]) -> None:
    corpus, warehouse = copy
    page = Path(warehouse.partition("=")[2]) / "report.html"
    _, printed, _ = run_job(job("rebuild_corpus"), corpus, warehouse, "report.n_examples=2", dry=True)
    assert "write_report: would run" in printed
    page.unlink()
    _, printed, _ = run_job(job("rebuild_corpus"), corpus, warehouse, dry=True)
    assert f"write_report: would run: {page} is not there yet" in printed


def test_files_that_moved_change_nothing(copy: tuple[SmallCorpus, str], tmp_path: Path) -> None:
    corpus, warehouse = copy
    tokenizer, lexicon = tmp_path / "moved.json", tmp_path / "moved.tsv"
    shutil.copy(Path(__file__).parents[1] / "samples" / "tokenizer.json", tokenizer)
    shutil.copy(corpus.folder / "lexicon.tsv", lexicon)
    moved = f"tokenizer.path={tokenizer}", f"lexicon.path={lexicon}"
    _, printed, errors = run_job(job("rebuild_corpus"), corpus, warehouse, *moved, dry=True)
    assert printed.count("would be skipped") == len(STAGES) + 1, printed + errors


def rewrite(warehouse: str, table: str, **changed: object) -> None:
    """Commits a table's rows once more, with a provenance that differs."""
    from deltalake import CommitProperties, DeltaTable, write_deltalake

    path = f"{warehouse.partition('=')[2]}/{table}"
    made = json.loads(DeltaTable(path).history(1)[0]["userMetadata"]) | changed
    properties = CommitProperties(custom_metadata={"userMetadata": json.dumps(made)})
    write_deltalake(path, DeltaTable(path).to_pyarrow_table(), mode="overwrite", commit_properties=properties)


@pytest.mark.parametrize(
    ("rewritten", "changed", "jobs"),
    [
        ("documents", {}, {"filter_documents": "count_cooccurrence", "write_report": "count_cooccurrence"}),
        ("token_cooccurrence", {"version": 99}, {"find_pivots": "count_cooccurrence"}),
        ("datasets/random", {"version": 99}, {"write_report": "filter_documents"}),
        ("datasets/random", {"tables": {"documents": OLD}}, {"write_report": "filter_documents"}),
    ],
)
def test_tables_of_different_runs_are_not_read_together(
    copy: tuple[SmallCorpus, str], rewritten: str, changed: dict[str, object], jobs: dict[str, str]
) -> None:
    corpus, warehouse = copy
    rewrite(warehouse, rewritten, **changed)
    for name, to_run in jobs.items():
        for dry in (True, False):
            code, _, errors = run_job(job(name), corpus, warehouse, dry=dry)
            assert (code, f"run {to_run}" in errors, " version " in errors) == (2, True, True), errors


def test_maintenance_of_tables_runs_nothing_again(spark: "SparkSession", copy: tuple[SmallCorpus, str]) -> None:
    from deltalake import DeltaTable

    corpus, warehouse = copy
    table = DeltaTable(f"{warehouse.partition('=')[2]}/documents")
    assert table.optimize.compact()["numFilesRemoved"] > 1
    assert table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    assert table.version() > 0
    _, printed, errors = run_job(job("rebuild_corpus"), corpus, warehouse, dry=True)
    assert printed.count("would be skipped") == len(STAGES) + 1, printed + errors
    must_work(run_job(job("score_documents"), corpus, warehouse))
    DeltaTable(str(table.table_uri)).delete("lang = 'en'")
    _, printed, _ = run_job(job("rebuild_corpus"), corpus, warehouse, dry=True)
    assert "tokenize_corpus: would run: " in printed
    assert f"documents is version {table.version() + 1} " in printed
    assert "they are restored" in must_work(run_job(job("rebuild_corpus"), corpus, warehouse))
    _, printed, errors = run_job(job("rebuild_corpus"), corpus, warehouse, dry=True)
    assert printed.count("would be skipped") == len(STAGES) + 1, printed + errors


def test_a_provenance_that_the_log_has_lost_is_reported(copy: tuple[SmallCorpus, str]) -> None:
    from deltalake import DeltaTable

    corpus, warehouse = copy
    path = Path(warehouse.partition("=")[2]) / "pivots"
    table = DeltaTable(str(path))
    for key in range(2):
        table.alter.set_table_properties({"delta.appendOnly": "false", f"custom.{key}": "1"}, raise_if_not_exists=False)
    table.create_checkpoint()
    for version in range(2):
        (path / "_delta_log" / f"{version:020}.json").unlink()
    code, _, errors = run_job(job("score_documents"), corpus, warehouse)
    assert (code, "begins at version 2" in errors, "run find_pivots again" in errors) == (2, True, True), errors
    must_work(run_job(job("find_pivots"), corpus, warehouse))
