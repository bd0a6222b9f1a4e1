"""Between refreshes the page stays, but for the releases that it lists."""

import html
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from changing_shards import rebuild, write_shard
from deltalake import write_deltalake
from small_corpus import SmallCorpus

from jobs import rebuild_corpus, write_report
from jobs.framework.stage import Run
from jobs.report import releases_section
from jobs.warehouse.releases import Release, read_release
from pivot_udfs.errors import MissingVersionError
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.settings import Report, Settings, Warehouse
from pivot_udfs.shards.block_list import Blocked, BlockList
from pivot_udfs.storage.stores import resolve

OLD, NEW = TableVersion("a", 0, "same"), TableVersion("a", 1, "same")
MADE = Provenance("write_report", 4, tables={"documents": OLD, "pivots": OLD, "selection_cuts": OLD})


def page_made_of(made: Provenance, shown: object = None) -> str:
    record = f'<meta name="semantic-pivots-made-of" content="{html.escape(made.to_json())}">'
    if shown is not None:
        record += f'<meta name="semantic-pivots-shows" content="{html.escape(json.dumps(shown))}">'
    return f'<html>{record}<p>before</p><section id="releases"></section><p>after</p></html>'


def test_the_page_lists_each_release_with_what_changed(world: SmallCorpus) -> None:
    rebuild(world)
    warehouse = world.folder / "warehouse"
    release = read_release(resolve(str(warehouse)))
    made = Provenance.from_json(release.provenance) if release else None
    assert made
    empty, page = page_made_of(replace(made, job="write_report")), warehouse / "report.html"
    page.write_text(empty)
    assert "no table has changed" in rebuild(world)
    assert "The other sections describe the newest one." in page.read_text()
    assert "<td>4 new</td>" in page.read_text()
    before = page.stat().st_mtime_ns
    rebuild(world)
    assert page.stat().st_mtime_ns == before
    write_shard(world.folder, 5, seed=50)
    write_shard(world.folder, 1, seed=10)
    (world.folder / "shards" / "2.jsonl").unlink()
    rebuild(world)
    assert "The other sections describe release 0: " in page.read_text()
    assert "<td>1 new, 1 changed, 1 gone</td>" in page.read_text()
    start, end = empty.split('<section id="releases"></section>')
    assert page.read_text().startswith(start)
    assert page.read_text().endswith(end)


def test_a_touched_shard_runs_no_later_stage(with_pivots: SmallCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    page = with_pivots.warehouse / write_report.PAGE

    def write_page(run: Run, provenance: Provenance) -> None:
        written = write_report._with_releases(run, page_made_of(provenance), provenance)
        page.write_text(written, encoding="utf-8")

    stages = [*rebuild_corpus.STAGES, replace(write_report.STAGE, run=write_page)]
    monkeypatch.setattr(rebuild_corpus, "STAGES", stages)
    for rule in ("always", "on_drift", "on_request"):
        rebuild(with_pivots, f"refresh.rule={rule}")
        for path in (with_pivots.folder / "shards").iterdir():
            os.utime(path)
        log_text = rebuild(with_pivots, f"refresh.rule={rule}")
        assert "tokenize_corpus: runs: shards: 4 touched" in log_text
        assert log_text.count(": runs: ") == 1, log_text
        assert "The other sections describe the newest one." in page.read_text(encoding="utf-8")
    write_shard(with_pivots.folder, 9, seed=9)
    assert "write_report: runs: " in rebuild(with_pivots)


@pytest.mark.parametrize(
    ("releases", "expected"),
    [
        ({}, None),
        ({0: NEW}, None),
        ({0: OLD, 1: OLD, 2: NEW, 3: NEW}, (1, 0.5)),
        ({0: TableVersion("a", 7, "gone"), 1: NEW}, None),
    ],
)
def test_drift_is_since_the_newest_release_with_another_pivot_set(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    releases: dict[int, TableVersion],
    expected: tuple[int, float] | None,
) -> None:
    def released(path: str, number: int) -> Any:
        if releases[number] != OLD:
            raise MissingVersionError("its files are no longer there")
        return SimpleNamespace(rows=lambda *_: [{"token_id": token} for token in (1, 2, 3, 4)])

    made = {n: replace(MADE, tables={"pivots": rows}).to_json() for n, rows in releases.items()}
    rows = {n: Release(n, datetime(2026, 1, 1, tzinfo=UTC), {}, provenance) for n, provenance in made.items()}
    monkeypatch.setattr(releases_section, "read_releases", lambda _: rows)
    monkeypatch.setattr(releases_section, "ArrowTables", released)
    today = [{"token_id": token} for token in (3, 4, 5, 6)]
    run = run_of(tmp_path)
    run.warehouse.content = {"pivots": SimpleNamespace(rows=NEW)}.get
    run.warehouse.read_small = lambda _: SimpleNamespace(to_pylist=lambda: today)
    assert releases_section.read_drift(run) == expected


def run_of(folder: Path, pins: bool = True) -> Any:
    settings = Settings.model_construct(warehouse=Warehouse(path=str(folder)), report=Report())
    warehouse = SimpleNamespace(content=lambda _: None)
    return SimpleNamespace(settings=settings, pins=pins, warehouse=warehouse, release=None)


@pytest.mark.parametrize(
    ("changed", "pins", "reason"),
    [
        ({}, True, None),
        ({"documents": NEW}, True, None),
        ({"documents": NEW}, False, "tables documents = "),
        ({"documents": OLD._replace(fingerprint="other")}, True, "tables documents = "),
        ({"pivots": NEW}, True, "tables pivots = "),
        ({"selection_cuts": NEW}, True, None),
        ({"selection_cuts": NEW}, False, "tables selection_cuts = "),
        ({"selection_cuts": OLD._replace(fingerprint="other")}, True, "tables selection_cuts = "),
    ],
)
def test_a_page_is_written_anew_at_a_refresh(
    tmp_path: Path, changed: dict[str, TableVersion], pins: bool, reason: str | None
) -> None:
    (tmp_path / "report.html").write_text(page_made_of(MADE))
    now = replace(MADE, tables={**MADE.tables, **changed})
    why = write_report.why_write(run_of(tmp_path, pins), now)
    assert why is None if reason is None else why and f"was made with {reason}" in why


@pytest.mark.parametrize("pins", [True, False])
@pytest.mark.parametrize(
    ("entry", "is_shown"),
    [
        (Blocked("web", "1"), True),
        (Blocked("web", "2"), False),
        (Blocked("web"), True),
        (Blocked("<&>"), True),
        (Blocked("other"), False),
        (Blocked(shard="a.jsonl"), True),
        (Blocked(shard="b.jsonl"), True),
        (Blocked(shard="c.jsonl"), False),
        (Blocked("gone", "5"), True),
    ],
)
def test_a_page_that_shows_what_was_forgotten_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pins: bool, entry: Blocked, is_shown: bool
) -> None:
    """Also where a source that it names has lost its last document, one key after the other."""
    shown = [("web", "1", "a.jsonl"), (None, None, "b.jsonl"), ("<&>", None, None), ("web", None, None)]
    shown += [("gone", None, None)] if entry.source == "gone" else []
    run = run_of(tmp_path, pins)
    run.warehouse.content = lambda _: "there is a block list"
    run.warehouse.location = resolve(str(tmp_path)).child
    for source in ("web", "zoo", "<&>"):
        write_deltalake(tmp_path / "document_scores", pa.table({"source": ["a", source]}), mode="append")
    monkeypatch.setattr(write_report, "read_block_list", lambda _: BlockList.of({entry}))
    (tmp_path / "report.html").write_text(page_made_of(MADE, shown))
    assert write_report.why_write(run, MADE) == (
        f"{tmp_path}/report.html shows what was forgotten" if is_shown else None
    )
    (tmp_path / "report.html").write_text(page_made_of(MADE))
    assert "shows what was forgotten" in str(write_report.why_write(run, MADE))


def test_a_page_that_was_cut_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(page_made_of(MADE)[:-20])
    assert "incomplete" in str(write_report.why_write(run_of(tmp_path), MADE))


@pytest.mark.parametrize(
    ("path", "release", "expected"),
    [
        ("", None, "report.html"),
        ("", 0, "report_release_0.html"),
        ("a.b/page", 12, "a.b/page_release_12"),
        ("s3://b/x/corpus.v2.html", 3, "s3://b/x/corpus.v2_release_3.html"),
    ],
)
def test_the_page_of_a_release_that_is_named_is_a_file_of_its_own(
    tmp_path: Path, path: str, release: int | None, expected: str
) -> None:
    run, is_uri = run_of(tmp_path), "://" in path
    run.settings = run.settings.model_copy(
        update={"report": Report(path=path if is_uri or not path else f"{tmp_path}/{path}")}
    )
    run.release = release
    assert str(write_report.report_location(run)) == (expected if is_uri else f"{tmp_path}/{expected}")
