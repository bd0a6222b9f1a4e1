"""What a rebuild skips and why it runs, and what it records."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from changing_shards import write_long_shard
from deltalake import DeltaTable
from small_corpus import SmallCorpus, files_in, must_work, run, stages_run

from jobs import rebuild_corpus
from jobs.framework import run_summary
from pivot_udfs.load_settings import load_settings
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import STAGE_TABLES
from pivot_udfs.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.timeout(900)
STAGES = ["tokenize_corpus", "count_cooccurrence", "find_pivots", "score_documents", "filter_documents"]


def history(spark: "SparkSession", corpus: SmallCorpus, table: str) -> list[dict[str, Any]]:
    import delta.tables

    commits = delta.tables.DeltaTable.forPath(spark, str(corpus.warehouse / table)).history().collect()
    return [row.asDict() for row in commits]


def summary_of(warehouse: Path) -> dict[str, Any]:
    return dict(json.loads((warehouse / run_summary.FILE).read_text(encoding="utf-8")))


@pytest.mark.spark
def test_a_second_rebuild_skips_everything_and_says_why(spark: "SparkSession", copied: SmallCorpus) -> None:
    before = files_in(copied.warehouse)
    log_text = must_work(run("rebuild_corpus", copied, "cooccurrence.memory_budget_mb=700"))
    assert stages_run(log_text) == []
    for stage in [*STAGES, "write_report"]:
        assert f"{stage}: skipped: inputs, settings and version are unchanged" in log_text
    assert files_in(copied.warehouse) == before
    summary = summary_of(copied.warehouse)
    assert [(stage["stage"], stage["ran"]) for stage in summary["stages"]] == [
        (name, False) for name in (*STAGES, "write_report")
    ]
    assert summary["release"] is None


def test_a_changed_setting_reruns_what_depends_on_it(with_pivots: SmallCorpus) -> None:
    log_text = must_work(run("rebuild_corpus", with_pivots, "pivots.n_pivots=20"))
    assert stages_run(log_text) == STAGES[2:]
    assert "find_pivots: runs: pair_pivots was made with settings pivots.n_pivots = 150, now 20" in log_text
    assert "score_documents: runs: document_scores was made with tables pivots = version 0, now version 1" in log_text
    folder = with_pivots.warehouse
    summary = summary_of(folder)
    assert [stage["stage"] for stage in summary["stages"] if stage["ran"]] == STAGES[2:]
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


@pytest.mark.spark
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


@pytest.mark.spark
def test_dry_run_prints_and_writes_nothing(corpus: SmallCorpus, spark: "SparkSession", tmp_path: Path) -> None:
    override = f"warehouse.path={tmp_path}/new"
    code, printed, errors = run("rebuild_corpus", corpus, override, dry=True)
    assert code == 0, errors
    toml, _, plan = printed.partition("tokenize_corpus: would run")
    (tmp_path / "again.toml").write_text(toml, encoding="utf-8")
    assert load_settings(str(tmp_path / "again.toml"), [], Settings) == load_settings(
        corpus.config, [override], Settings
    )
    assert re.search(r"first record of .+: source '.+', id '.+', language: ", plan)
    assert "writes" in plan
    assert f"{tmp_path}/new/documents" in plan
    assert "count_cooccurrence: would run: documents will be new" in plan
    assert not (tmp_path / "new").exists()
    before = files_in(corpus.warehouse)
    _, printed, _ = run("rebuild_corpus", corpus, dry=True)
    assert printed.count("would be skipped: unchanged since it last ran") == len(STAGES) + 1
    assert files_in(corpus.warehouse) == before


@pytest.mark.spark
def test_a_dry_run_of_one_job_says_what_that_job_does(copied: SmallCorpus) -> None:
    code, printed, errors = run("find_pivots", copied, dry=True)
    assert (code, "find_pivots: would run: asked for, though unchanged" in printed) == (0, True), errors
    code, _, errors = run("find_pivots", copied, "cooccurrence.window=5", dry=True)
    assert (code, "made with cooccurrence.window = 50, this run has 5" in errors) == (2, True)
    code, _, errors = run("find_pivots", replace(copied, copy=copied.warehouse / "none"), dry=True)
    assert (code, "no table corpus_totals" in errors) == (2, True)


@pytest.mark.spark
def test_the_report_is_written_again_when_it_would_differ(copied: SmallCorpus) -> None:
    page = copied.warehouse / "report.html"
    _, printed, _ = run("rebuild_corpus", copied, "report.n_examples=2", dry=True)
    assert "write_report: would run" in printed
    page.unlink()
    _, printed, _ = run("rebuild_corpus", copied, dry=True)
    assert f"write_report: would run: {page} is not there yet" in printed


@pytest.mark.spark
def test_files_that_moved_change_nothing(copied: SmallCorpus, tmp_path: Path) -> None:
    tokenizer, lexicon = tmp_path / "moved.json", tmp_path / "moved.tsv"
    shutil.copy(Path(__file__).parents[1] / "samples" / "tokenizer.json", tokenizer)
    shutil.copy(copied.folder / "lexicon.tsv", lexicon)
    moved = f"tokenizer.path={tokenizer}", f"lexicon.path={lexicon}"
    _, printed, errors = run("rebuild_corpus", copied, *moved, dry=True)
    assert printed.count("would be skipped") == len(STAGES) + 1, printed + errors


def test_maintenance_of_tables_runs_nothing_again(with_pivots: SmallCorpus) -> None:
    write_long_shard(with_pivots.folder, 5, seed=50)
    must_work(run("rebuild_corpus", with_pivots))
    table, n_stages = DeltaTable(f"{with_pivots.warehouse}/documents"), len(rebuild_corpus.STAGES)
    assert table.optimize.compact()["numFilesRemoved"] > 1
    assert table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    _, printed, errors = run("rebuild_corpus", with_pivots, dry=True)
    assert printed.count("would be skipped") == n_stages, printed + errors
    must_work(run("score_documents", with_pivots))
    DeltaTable(str(table.table_uri)).delete("lang = 'en'")
    _, printed, _ = run("rebuild_corpus", with_pivots, dry=True)
    assert "tokenize_corpus: would run: " in printed
    assert f"documents is version {table.version() + 1} " in printed
    assert "they are restored" in must_work(run("rebuild_corpus", with_pivots))
    _, printed, errors = run("rebuild_corpus", with_pivots, dry=True)
    assert printed.count("would be skipped") == n_stages, printed + errors
