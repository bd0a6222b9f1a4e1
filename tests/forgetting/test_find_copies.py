"""What still holds forgotten documents is named: packed datasets, checkpoints, models, of whatever state of a table."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobs.forgetting.find_copies import check_folders, copies
from jobs.warehouse.spark_tables import Warehouse
from jobs.warehouse.write_release import write_release
from pivot_udfs.errors import ConfigError
from pivot_udfs.provenance import Provenance, TableVersion

MADE = Provenance("tokenize_corpus", 4)


@pytest.fixture(name="run")
def _run(tmp_path: Path) -> Any:
    """A run whose warehouse has two versions of ``documents``."""
    warehouse = Warehouse(cast(Any, None), str(tmp_path / "warehouse"))
    for _ in range(2):
        warehouse.commit_rows("documents", [], MADE)
    return SimpleNamespace(warehouse=warehouse, settings=SimpleNamespace(selection=SimpleNamespace(arms=["pivot"])))


def write(file: Path, tables: dict[str, TableVersion]) -> Path:
    """An artefact, its provenance in the form of its kind."""
    tree: object = Provenance("a_job", 1, tables=tables).to_tree()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(tree if file.name.startswith("_") else {"provenance": tree}), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "name",
    [
        "packed/pivot/manifest.json",
        "checkpoints/step-00000005/state.json",
        "final/_provenance.json",
        "tuned_lens/_provenance.json",
        ".partial-final/_provenance.json",
        "_old/manifest.json",
    ],
)
def test_artefacts_of_other_rows_than_the_newest_are_named(run: Any, tmp_path: Path, name: str) -> None:
    newest = run.warehouse.content("documents").rows
    file = write(tmp_path / "out" / name, {"documents": newest})
    assert list(copies(run, [str(tmp_path / "out")])) == []
    for rows in (newest._replace(version=0), newest._replace(id="made-anew-since")):
        write(file, {"documents": rows})
        [line] = copies(run, [str(tmp_path / "out")])
        assert line.startswith(f"{file}: made by a_job from documents {rows}")
    write(file, {"datasets/pivot": newest})
    assert ["datasets/pivot" in line for line in copies(run, [str(tmp_path / "out")])] == [True]


def test_artefacts_of_counts_and_pivots_are_not_named(run: Any, tmp_path: Path) -> None:
    write(tmp_path / "traces" / "_provenance.json", {"pair_pivots": TableVersion("a", 0, "b")})
    (tmp_path / "manifest.json").write_text("[1]", encoding="utf-8")
    assert list(copies(run, [str(tmp_path)])) == []


def test_rejected_records_of_an_unknown_key_are_named(run: Any) -> None:
    row = {"shard": "a", "record": 3, "reason": "document_too_large", "detail": "x", "raw": b'{"source": "web"'}
    rows = [{**row, "source": "web", "doc_id": "1"}, {**row, "source": "web"}, row]
    run.warehouse.commit_rows("quarantine", rows, MADE)
    assert list(copies(run, [])) == []
    cut = {**row, "doc_id": "1"}  # the line is longer than what is read of it, and has its source at the end
    for compared, n_unknown in ((("source",), 1), (("source", "doc_id"), 3)):
        [line] = copies(run, [], compared)
        says = f"perhaps, up to {n_unknown} rejected records without {' or '.join(compared)}, with up to 1,024 bytes"
        assert line.startswith(f"{run.warehouse.table_path('quarantine')}: {says} each")
    for one, is_named in ((rows[0], False), (cut, True)):
        run.warehouse.commit_rows("quarantine", [one], MADE)
        assert any("perhaps" in line for line in copies(run, [], ("source", "doc_id"))) == is_named


def test_files_of_runs_that_were_stopped_are_named(run: Any, tmp_path: Path) -> None:
    run.warehouse.commit_rows("quarantine", [], MADE)
    (tmp_path / "warehouse" / "quarantine" / "part-1.zstd.parquet").write_bytes(b"1234")
    [line] = copies(run, [])
    assert line == f"{run.warehouse.table_path('quarantine')}: files of runs that were stopped (1 files, 0.0 MB)"


def test_releases_are_named_up_to_the_first_with_the_newest_rows(run: Any) -> None:
    row = {"shard": "a", "record": 3, "reason": "not_json", "detail": "x", "raw": b"{", "source": "a", "doc_id": "1"}
    run.warehouse.commit_rows("quarantine", [row], MADE)
    for rows in ([row], []):
        run.warehouse.commit_rows("quarantine", rows, MADE)
        write_release(run.warehouse, ["documents", "quarantine"])
    assert "releases before 1, which name these versions" in copies(run, [])
    run.warehouse.commit_rows("quarantine", [row], MADE)
    assert "releases before 2, which name these versions" in copies(run, [])


def test_an_artefact_that_cannot_be_read_is_named(run: Any, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(b'{"provenance": \xff')
    assert [line.split(": ")[0] for line in copies(run, [str(tmp_path)])] == [str(tmp_path / "state.json")]


def test_a_mistyped_folder_of_artefacts_is_an_error(tmp_path: Path) -> None:
    check_folders([str(tmp_path)])
    (tmp_path / "file").touch()
    for name in ("typo", "*", "file"):
        with pytest.raises(ConfigError, match="is no folder"):
            check_folders([str(tmp_path), str(tmp_path / name)])
