"""Tables that were removed, maintained, damaged, restricted or written by others: what each job makes of them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from small_corpus import SmallCorpus, must_work, rows_of, run, stages_run

from jobs import rebuild_corpus
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.provenance import Provenance

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.timeout(900)


def assert_current(corpus: SmallCorpus) -> None:
    """A rebuild would skip every stage."""
    _, printed, errors = run("rebuild_corpus", corpus, dry=True)
    assert printed.count("would be skipped") == len(rebuild_corpus.STAGES), printed + errors


def rows(corpus: SmallCorpus, table: str) -> list[dict[str, Any]]:
    return sorted(rows_of(corpus, table), key=repr)


def log_file(warehouse: Path, table: str) -> Path:
    """The newest commit."""
    return sorted((warehouse / table / "_delta_log").glob("*.json"))[-1]


def data_file(warehouse: Path, table: str) -> Path:
    return next((warehouse / table).glob("*.parquet"))


def test_all_tables_are_of_the_new_documents_after_documents_was_removed(with_pivots: SmallCorpus) -> None:
    shutil.rmtree(with_pivots.warehouse / "documents")
    inputs = f"corpus.inputs={with_pivots.folder}/shards/0.jsonl"
    few = ("pivots.min_doc_count=1", "pivots.min_word_doc_count=1", "pivots.min_concepts=1")
    log_text = must_work(run("rebuild_corpus", with_pivots, inputs, *few))
    assert len(stages_run(log_text)) == len(rebuild_corpus.STAGES)
    documents = rows(with_pivots, "documents")
    assert sum(row["n_docs"] for row in rows(with_pivots, "corpus_totals")) == len(documents)
    keys = {(row["shard"], row["record"]) for row in documents}
    assert {(row["shard"], row["record"]) for row in rows(with_pivots, "document_scores")} == keys
    assert {(row["shard"], row["record"]) for row in rows(with_pivots, "datasets/pivot")} < keys


@pytest.mark.spark
def test_maintenance_by_spark_runs_nothing_again_on_either_side(spark: "SparkSession", copied: SmallCorpus) -> None:
    from jobs.gpu.common.read_tables import open_table

    made = open_table(str(copied.warehouse), "documents").provenance
    assert made
    assert "tokenizer" in made.files
    table = f"delta.`{copied.warehouse}/documents`"
    spark.sql(f"OPTIMIZE {table}")
    spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.logRetentionDuration' = 'interval 60 days')")
    spark.sql(f"VACUUM {table} RETAIN 1000 HOURS")
    assert_current(copied)
    assert open_table(str(copied.warehouse), "documents").provenance == made
    DeltaTable(str(copied.warehouse / "documents")).delete("lang = 'en'")
    _, printed, _ = run("rebuild_corpus", copied, dry=True)
    assert "count_cooccurrence: would run" in printed
    spark.sql(f"RESTORE TABLE {table} TO VERSION AS OF 1")
    assert_current(copied)
    assert open_table(str(copied.warehouse), "documents").provenance == made


def test_a_moved_warehouse_runs_nothing_again(with_pivots: SmallCorpus, tmp_path: Path) -> None:
    moved = tmp_path / "an other%20place"
    with_pivots.warehouse.rename(moved)
    assert_current(replace(with_pivots, copy=moved))


def test_derived_tables_that_are_damaged_are_made_again(with_pivots: SmallCorpus) -> None:
    tables = ("pair_pivots", "pivots", "document_scores", "datasets/random")
    before = {table: rows(with_pivots, table) for table in tables}
    commit = log_file(with_pivots.warehouse, "pivots")
    commit.write_bytes(commit.read_bytes()[:-100])
    scores = data_file(with_pivots.warehouse, "document_scores")
    scores.write_bytes(scores.read_bytes()[:-10])
    DeltaTable(str(with_pivots.warehouse / "datasets/random")).create_checkpoint()
    next((with_pivots.warehouse / "datasets/random/_delta_log").glob("*.checkpoint.parquet")).unlink()
    log_file(with_pivots.warehouse, "pair_pivots").write_bytes(b"")
    log_text = must_work(run("rebuild_corpus", with_pivots))
    assert stages_run(log_text) == ["find_pivots", "score_documents", "filter_documents"]
    assert "is damaged" in log_text
    assert "is written again" in log_text
    assert {table: rows(with_pivots, table) for table in tables} == before
    assert_current(with_pivots)


def test_documents_whose_log_is_damaged_are_left(with_pivots: SmallCorpus) -> None:
    commit = log_file(with_pivots.warehouse, "documents")
    cut = commit.read_bytes()[:-100]
    commit.write_bytes(cut)
    for dry in (True, False):
        code, _, errors = run("rebuild_corpus", with_pivots, dry=dry)
        assert (code, errors.count("\n")) == (2, 1), errors
        assert "table documents: the log of" in errors
        assert f"remove {with_pivots.warehouse}/documents and run rebuild_corpus" in errors
    assert commit.read_bytes() == cut


def test_a_damaged_input_is_named_by_the_job_that_reads_it(with_pivots: SmallCorpus) -> None:
    data_file(with_pivots.warehouse, "pivots").unlink()
    code, _, errors = run("score_documents", with_pivots)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert "table pivots" in errors
    assert "is missing): run find_pivots again" in errors


@pytest.mark.spark
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("CLUSTER BY (rank)", "clustering"),
        ("SET TBLPROPERTIES ('delta.enableRowTracking' = 'true')", "rowTracking"),
        ("SET TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true')", "inCommitTimestamp"),
        ("SET TBLPROPERTIES ('delta.appendOnly' = 'true')", "delta.appendOnly"),
        ("SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')", "delta.columnMapping.mode"),
        ("SET TBLPROPERTIES ('delta.feature.checkpointProtection' = 'supported')", "checkpointProtection"),
    ],
)
def test_a_table_that_cannot_be_committed_to_is_refused_before_the_stage_runs(
    spark: "SparkSession", copied: SmallCorpus, change: str, named: str
) -> None:
    spark.sql(f"ALTER TABLE delta.`{copied.warehouse}/pivots` {change}")
    for dry in (True, False):
        code, _, errors = run("find_pivots", copied, dry=dry)
        assert code == 2, errors
        assert f"{copied.warehouse}/pivots has the table feature or property {named}" in errors
        assert "find_pivots: runs" not in errors


@pytest.mark.spark
def test_features_that_delta_rs_can_commit_to_are_accepted(spark: "SparkSession", copied: SmallCorpus) -> None:
    for name in ("delta.enableDeletionVectors", "delta.enableChangeDataFeed"):
        spark.sql(f"ALTER TABLE delta.`{copied.warehouse}/pivots` SET TBLPROPERTIES ('{name}' = 'true')")
    spark.sql(f"ALTER TABLE delta.`{copied.warehouse}/pair_pivots` SET TBLPROPERTIES ('delta.checkpointPolicy' = 'v2')")
    must_work(run("find_pivots", copied))
    made = spark.read.format("delta").load(f"{copied.warehouse}/pivots").collect()
    assert sorted((row.asDict() for row in made), key=repr) == rows(replace(copied, copy=None), "pivots")


@pytest.mark.spark
def test_small_tables_are_read_without_rows_that_deletion_vectors_delete(
    spark: "SparkSession", copied: SmallCorpus
) -> None:
    table, wanted = f"delta.`{copied.warehouse}/token_totals`", rows(copied, "token_totals")
    spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    assert sorted(Warehouse(spark, str(copied.warehouse)).read_small("token_totals").to_pylist(), key=repr) == wanted
    spark.sql(f"DELETE FROM {table} WHERE token_id = {wanted[0]['token_id']}")  # noqa: S608
    found = Warehouse(spark, str(copied.warehouse)).read_small("token_totals").to_pylist()
    assert sorted(found, key=repr) == wanted[1:]


@pytest.mark.spark
def test_files_that_are_removed_while_they_are_read_end_the_run_with_one_line(
    copied: SmallCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs import find_pivots

    associations = find_pivots._associations

    def vacuumed(*arguments: Any) -> Any:
        for path in (copied.warehouse / "token_cooccurrence").glob("*.parquet"):
            path.unlink()
        return associations(*arguments)

    monkeypatch.setattr(find_pivots, "_associations", vacuumed)
    code, _, errors = run("find_pivots", copied)
    assert code == 75, errors
    assert f"{copied.warehouse}/token_cooccurrence/part-" in errors.splitlines()[-1]
    assert "run rebuild_corpus" in errors.splitlines()[-1]


def written_by_another(warehouse: Path, table: str) -> Callable[[], None]:
    """What another run does: it commits to a table, with its own provenance."""

    def write() -> None:
        path = str(warehouse / table)
        properties = CommitProperties(custom_metadata={"userMetadata": Provenance("another", 1).to_json()})
        kept: pa.Table = DeltaTable(path).to_pyarrow_table()
        write_deltalake(path, kept, mode="overwrite", commit_properties=properties)

    return write


@pytest.mark.parametrize("table", ["pair_pivots", "token_totals"])
def test_the_slower_of_two_runs_stops_with_one_line(
    with_pivots: SmallCorpus, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    from jobs import find_pivots

    associations, other = find_pivots._associations, written_by_another(with_pivots.warehouse, table)

    def slowly(*arguments: Any) -> Any:
        other()
        return associations(*arguments)

    monkeypatch.setattr(find_pivots, "_associations", slowly)
    before = {name: log_file(with_pivots.warehouse, name).name for name in ("pair_pivots", "pivots")}
    code, _, errors = run("find_pivots", with_pivots)
    assert code == 75, errors
    assert f"another run has written {with_pivots.warehouse}/{table} meanwhile" in errors.splitlines()[-1]
    after = {name: log_file(with_pivots.warehouse, name).name for name in before}
    assert {name for name in before if after[name] != before[name]} == {table} & set(before)
