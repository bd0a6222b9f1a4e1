"""The warehouses and inputs that a job refuses: one line, exit code 2, nothing written."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tokenizer_files
from deltalake import CommitProperties, DeltaTable, write_deltalake
from small_corpus import SmallCorpus, files_in, must_work, run

from jobs import find_pivots

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]
OLD = {"id": "", "version": 7, "fingerprint": ""}


def test_tables_of_another_configuration_are_refused(
    copied: SmallCorpus, spark: "SparkSession", tmp_path: Path
) -> None:
    other_words = tmp_path / "other.tsv"
    other_words.write_bytes((copied.folder / "lexicon.tsv").read_bytes() + b"\n")
    cases = [
        ("find_pivots", "cooccurrence.window=5", "made with cooccurrence.window = 50, this run has 5"),
        ("find_pivots", f"lexicon.path={other_words}", "made with another lexicon: the file's content has changed"),
        (
            "count_cooccurrence",
            f"tokenizer.path={tokenizer_files.byte_level(tmp_path)}",
            "made with another tokenizer: the",
        ),
        ("score_documents", "pivots.association=llr", "made with pivots.association = npmi, this run has llr"),
    ]
    before = files_in(copied.warehouse)
    for name, override, log_text in cases:
        code, _, errors = run(name, copied, override)
        assert (code, "WarehouseError" in errors, log_text in errors) == (2, True, True), errors
        assert "run " in errors.split(log_text)[1]
    assert files_in(copied.warehouse) == before


def test_a_foreign_table_is_left_as_it_is(spark: "SparkSession", corpus: SmallCorpus, tmp_path: Path) -> None:
    foreign = tmp_path / "documents"
    spark.range(3).write.format("delta").save(str(foreign))
    code, _, errors = run("tokenize_corpus", corpus, f"warehouse.path={tmp_path}")
    assert code == 2
    assert "WarehouseError" in errors
    assert "not written by this project" in errors
    assert spark.read.format("delta").load(str(foreign)).columns == ["id"]
    code, _, errors = run("count_cooccurrence", corpus, f"warehouse.path={tmp_path}")
    assert (code, "has no column source" in errors) == (2, True), errors


@pytest.mark.parametrize(("name", "table", "maker"), [("count_cooccurrence", "documents", "tokenize_corpus")])
def test_a_missing_table_is_reported(
    corpus: SmallCorpus, spark: "SparkSession", tmp_path: Path, name: str, table: str, maker: str
) -> None:
    code, _, errors = run(name, corpus, f"warehouse.path={tmp_path}/nothing")
    assert code == 2
    assert f"there is no table {table} at {tmp_path}/nothing/{table}" in errors
    assert f"run {maker} first" in errors


def test_inputs_that_hold_nothing_are_reported(corpus: SmallCorpus, spark: "SparkSession", tmp_path: Path) -> None:
    code, _, errors = run(
        "tokenize_corpus", corpus, f"warehouse.path={tmp_path}/w", f"corpus.inputs={tmp_path}/x*.jsonl"
    )
    assert (code, "CorpusError" in errors) == (2, True), errors
    (tmp_path / "bad.jsonl").write_bytes(b"{\n[]\n")
    code, _, errors = run(
        "tokenize_corpus", corpus, f"warehouse.path={tmp_path}/w", f"corpus.inputs={tmp_path}/bad.jsonl"
    )
    assert (code, "none of 2 records is a document" in errors) == (2, True), errors


def test_faults_of_the_command_line_end_with_2(corpus: SmallCorpus) -> None:
    code, _, errors = run("find_pivots", corpus, "pivots.n_pivotz=3")
    assert (code, "did you mean 'n_pivots'" in errors) == (2, True)
    with pytest.raises(SystemExit):
        find_pivots.main([])


def rewrite(corpus: SmallCorpus, table: str, **changed: object) -> None:
    """Commits a table's rows once more, with a provenance that differs."""
    path = str(corpus.warehouse / table)
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
    copied: SmallCorpus, rewritten: str, changed: dict[str, object], jobs: dict[str, str]
) -> None:
    rewrite(copied, rewritten, **changed)
    for name, to_run in jobs.items():
        for dry in (True, False):
            code, _, errors = run(name, copied, dry=dry)
            assert (code, f"run {to_run}" in errors, " version " in errors) == (2, True, True), errors


def test_a_provenance_that_the_log_has_lost_is_reported(copied: SmallCorpus) -> None:
    path = copied.warehouse / "pivots"
    table = DeltaTable(str(path))
    for key in range(2):
        table.alter.set_table_properties({"delta.appendOnly": "false", f"custom.{key}": "1"}, raise_if_not_exists=False)
    table.create_checkpoint()
    for version in range(2):
        (path / "_delta_log" / f"{version:020}.json").unlink()
    code, _, errors = run("score_documents", copied)
    assert (code, "begins at version 2" in errors, "run find_pivots again" in errors) == (2, True, True), errors
    must_work(run("find_pivots", copied))
