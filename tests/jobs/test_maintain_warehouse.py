"""The job that maintains a warehouse: which tables it takes, what it prints, and which versions it keeps."""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from small_corpus import SETTINGS, SmallCorpus, must_work, run_job

from jobs import maintain_warehouse
from jobs.gpu.common.read_tables import open_table
from jobs.warehouse import kept_versions
from jobs.warehouse.delta.commit import commit_files
from jobs.warehouse.delta.commit_history import Content, read_content
from jobs.warehouse.delta.open_table import open_delta
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.schemas import table_of
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.stores import resolve
from pivot_udfs.storage.write_parquet import rows_of_table, step_to_files

EAGER = ("maintenance.min_small_files=2", "maintenance.retention_hours=0")
VALUES = {"string": "a", "int32": 1, "int64": 1, "double": 1.0, "binary": b"a"}


@pytest.fixture
def corpus(tmp_path: Path) -> SmallCorpus:
    (tmp_path / "run.toml").write_text(SETTINGS.format(folder=tmp_path, samples="samples"), encoding="utf-8")
    return SmallCorpus(tmp_path, [], [], [])


def write(corpus: SmallCorpus, table: str, job: str = "a_job", row: Any = None, **changes: Any) -> Content:
    """Adds three files of one row, or makes the changes of ``commit_files``."""
    location, schema = resolve(str(corpus.warehouse / table)), table_of(table).schema
    row = row or {field.name: VALUES.get(str(field.type), [1]) for field in schema}
    step = partial(rows_of_table, table=table, schema=schema)
    files = [
        file
        for _ in range(0 if "removed" in changes else 3)
        for batch in step_to_files(iter([pa.RecordBatch.from_pylist([row], schema)]), step, {table: location.uri})
        for file in batch.to_pylist()
    ]
    delta = open_delta(location)
    provenance = Provenance(job, 1, tables=changes.pop("read", {}))
    arguments = {"removed": (), **changes}
    return commit_files(location, delta and read_content(delta), schema, files, provenance, **arguments)


def files_of(corpus: SmallCorpus, table: str) -> list[str]:
    return sorted(path.name for path in (corpus.warehouse / table).glob("*.parquet"))


def maintain(corpus: SmallCorpus, *overrides: str) -> str:
    return must_work(run_job(maintain_warehouse.main, corpus, *(overrides or EAGER)))


def test_every_table_and_dataset_is_maintained_and_reported_in_one_line(corpus: SmallCorpus) -> None:
    names = ["shards", "documents", "pivots", "datasets/pivot", "datasets/of_an_earlier_run"]
    for name in names:
        write(corpus, name)
    log_text = maintain(corpus)
    for name in names:
        assert f"{name}: version 0, 3 files of 0.0 MB: compacted 3 files into 1, removed 3 files" in log_text
        assert len(files_of(corpus, name)) == 1
        assert DeltaTable(corpus.warehouse / name).to_pyarrow_table().num_rows == 3
    assert len(log_text.splitlines()) == len(names)


def test_a_dry_run_prints_the_same_tables_and_changes_nothing(corpus: SmallCorpus) -> None:
    write(corpus, "pivots")
    before = files_of(corpus, "pivots")
    code, out, _ = run_job(maintain_warehouse.main, corpus, *EAGER, dry=True)
    assert (code, "pivots: version 0, 3 files of 0.0 MB: would compact 3 files" in out) == (0, True)
    assert (files_of(corpus, "pivots"), DeltaTable(corpus.warehouse / "pivots").version()) == (before, 0)


def test_documents_have_a_target_size_of_their_own(corpus: SmallCorpus) -> None:
    write(corpus, "documents")
    maintain(corpus, *EAGER, "maintenance.documents_file_mb=20")
    (commit,) = [entry for entry in DeltaTable(corpus.warehouse / "documents").history() if
                 entry["operation"] == "OPTIMIZE"]  # fmt: skip
    assert json.loads(commit["operationParameters"]["targetSize"]) == 20 << 20


def test_the_rows_that_shards_lists_are_kept(corpus: SmallCorpus) -> None:
    """A run was stopped after its commit to documents: the next rolls it back."""
    first = write(corpus, "documents")
    write(corpus, "shards", tables={"documents": first.rows})
    kept = files_of(corpus, "documents")
    write(corpus, "documents", removed=kept)
    maintain(corpus)
    assert files_of(corpus, "documents") == kept


def test_the_tables_of_the_newest_release_are_kept(corpus: SmallCorpus) -> None:
    """A rebuild replaces a table of the release, which had been compacted, and has not added a release yet."""
    rows = write(corpus, "pivots").rows
    made = Provenance("rebuild_corpus", 1, tables={"pivots": rows}).to_json()
    row = {"release": 0, "committed_at": datetime.now(UTC), "versions": [("pivots", rows.version)], "provenance": made}
    write(corpus, "releases", row=row)
    maintain(corpus)
    kept = files_of(corpus, "pivots")
    write(corpus, "pivots", removed=kept)
    maintain(corpus)
    assert files_of(corpus, "pivots") == kept
    released = open_table(str(corpus.warehouse), "pivots")
    assert (released.rows, released.dataset.count_rows()) == (rows, 3)


@pytest.mark.parametrize("behind", [True, False])
def test_documents_stay_as_they_are_until_they_are_counted(corpus: SmallCorpus, behind: bool) -> None:
    first = write(corpus, "documents")
    second = write(corpus, "documents", removed=files_of(corpus, "documents")[:1])
    counted = first.rows if behind else second.rows
    write(corpus, "corpus_totals", read={"documents": counted})
    before = files_of(corpus, "documents")
    assert ("data files stay until count_cooccurrence" in maintain(corpus)) == behind
    assert (files_of(corpus, "documents") == before) == behind


def test_counts_that_belong_to_the_totals_are_kept(corpus: SmallCorpus) -> None:
    """A run was stopped between its commits of counts."""
    read = {"documents": TableVersion("id", 0, "rows")}
    for name in ("word_totals", "corpus_totals"):
        write(corpus, name, read=read)
    kept = files_of(corpus, "word_totals")
    write(corpus, "word_totals", job="another", removed=kept)
    maintain(corpus)
    assert files_of(corpus, "word_totals") == kept


def test_tables_that_name_versions_are_read_once(corpus: SmallCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at a table in an object store takes several requests."""
    for name in ("documents", "quarantine", "word_totals", "token_totals", "corpus_totals", "shards"):
        write(corpus, name)
    opened: list[str] = []

    def counted(table: Location, version: int | None = None) -> DeltaTable | None:
        opened.append(table.name)
        return open_delta(table) if version is None else open_delta(table, version)

    monkeypatch.setattr(kept_versions, "open_delta", counted)
    maintain(corpus)
    # Once for its own versions, and once for those that it names.
    assert (opened.count("shards"), opened.count("corpus_totals")) == (2, 2)


def damage(corpus: SmallCorpus, table: str) -> None:
    """The log and the data files cannot be read."""
    for path in (corpus.warehouse / table).rglob("*.*"):
        path.write_bytes(b"no table")


@pytest.mark.parametrize("unreadable", ["releases", "shards", "corpus_totals"])
def test_a_table_whose_needed_versions_are_not_known_stays_as_it_is(corpus: SmallCorpus, unreadable: str) -> None:
    """Each of the others needs the first version of documents."""
    first = write(corpus, "documents")
    made = Provenance("rebuild_corpus", 1, tables={"documents": first.rows}).to_json()
    release = {"release": 0, "committed_at": datetime.now(UTC), "versions": [("documents", 0)], "provenance": made}
    others: dict[str, dict[str, Any]] = {
        "releases": {"row": release},
        "shards": {"tables": {"documents": first.rows}},
        "corpus_totals": {"read": {"documents": first.rows}},
    }
    write(corpus, unreadable, **others[unreadable])
    write(corpus, "documents", removed=files_of(corpus, "documents")[:1])
    before = files_of(corpus, "documents")
    damage(corpus, unreadable)
    code, _, errors = run_job(maintain_warehouse.main, corpus, *EAGER)
    assert (code, files_of(corpus, "documents")) == (2, before)
    (line,) = [line for line in errors.splitlines() if line.strip().startswith("documents: ")]
    assert f"{corpus.warehouse}/{unreadable} cannot be read" in line


def test_a_table_with_an_error_does_not_stop_the_others(corpus: SmallCorpus) -> None:
    write_deltalake(corpus.warehouse / "documents", pa.table({"a": [1]}))
    write(corpus, "pivots")
    code, _, errors = run_job(maintain_warehouse.main, corpus, *EAGER)
    assert code == 2
    assert "pivots: version 0, 3 files of 0.0 MB: compacted" in errors
    assert "1 tables of" in errors
    assert "documents was not written by this project" in errors


def test_a_warehouse_without_tables_is_an_error(corpus: SmallCorpus) -> None:
    code, _, errors = run_job(maintain_warehouse.main, corpus)
    assert (code, "there are no tables at" in errors) == (2, True)
