"""The marker of a run: who goes on, who stops, and when a marker is that of a run that was killed."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from jobs import maintain_warehouse, rebuild_corpus
from jobs.framework import run_stages
from jobs.warehouse import run_marker
from jobs.warehouse.run_marker import FOLDER, Mark, mark_in_use
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.errors import TransientError, WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.storage.stores import resolve

KILLED = """
import os, sys
from jobs.warehouse.run_marker import mark_in_use
from pivot_udfs.storage.stores import resolve
with mark_in_use(resolve(sys.argv[1]), "rebuild_corpus"):
    os._exit(9)
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as those of killed runs after half a second."""
    monkeypatch.setattr(run_marker, "ENDED_SECONDS", 0.6)
    monkeypatch.setattr(run_marker, "RENEWED_SECONDS", 0.05)
    monkeypatch.setattr(run_marker, "_POLL_SECONDS", 0.01)


def files(warehouse: Path) -> list[str]:
    return sorted(path.name for path in (warehouse / FOLDER).iterdir())


def write_mark(warehouse: Path, started: str = "2026-11-27T01:00:00.0Z", content: str = "runs\n") -> Path:
    """The file of a run on another machine."""
    path = warehouse / FOLDER / Mark(started, "rebuild_corpus", "elsewhere", "00000000", 1).file
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path


@contextmanager
def renewed(path: Path) -> Iterator[None]:
    done = threading.Event()

    def renew() -> None:
        while not done.wait(0.02):
            path.write_text("runs\n")

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_second_run_stops_with_one_line_and_the_first_goes_on(tmp_path: Path) -> None:
    with mark_in_use(resolve(str(tmp_path)), "rebuild_corpus"):
        before = files(tmp_path)
        with (
            pytest.raises(WarehouseError, match=rf"rebuild_corpus on \S+, process {os.getpid()}") as error,
            mark_in_use(resolve(str(tmp_path)), "maintain_warehouse"),
        ):
            pytest.fail("the second run went on")
        assert files(tmp_path) == before
        assert len(before) == 1
        assert "\n" not in str(error.value)
    assert files(tmp_path) == []


def test_the_file_is_removed_when_the_run_fails(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="a fault"), mark_in_use(resolve(str(tmp_path)), "rebuild_corpus"):
        raise OSError("a fault")
    assert files(tmp_path) == []


def test_a_killed_run_of_this_machine_is_known_at_once(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert (done.returncode, len(files(tmp_path))) == (9, 1)
    with mark_in_use(resolve(str(tmp_path)), "rebuild_corpus"):
        assert len(files(tmp_path)) == 1
    assert files(tmp_path) == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("started", ["1999-01-01T00:00:00.0Z", "2099-01-01T00:00:00.0Z"])
@pytest.mark.parametrize("written", [0, 4e9])
def test_a_run_elsewhere_that_is_not_renewed_is_taken_over(
    tmp_path: Path, started: str, written: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_mark(tmp_path, started)
    os.utime(path, (written, written))
    with mark_in_use(resolve(str(tmp_path)), "rebuild_corpus"):
        assert not path.exists()
    assert caplog.text.count("to see whether") == (1 if written else 0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("started", ["1999-01-01T00:00:00.0Z", "2099-01-01T00:00:00.0Z"])
def test_a_run_elsewhere_that_is_renewed_goes_on_whatever_the_clocks_show(tmp_path: Path, started: str) -> None:
    path = write_mark(tmp_path, started)
    with (
        renewed(path),
        pytest.raises(WarehouseError, match="on elsewhere, process 1"),
        mark_in_use(resolve(str(tmp_path)), "rebuild_corpus"),
    ):
        pytest.fail("the second run went on")
    assert files(tmp_path) == [path.name]


@pytest.mark.usefixtures("quick")
def test_of_runs_that_begin_together_one_goes_on(tmp_path: Path) -> None:
    for _ in range(10):
        begin, end, won = threading.Barrier(6), threading.Barrier(6), []

        def attempt(begin: threading.Barrier = begin, end: threading.Barrier = end, won: list[int] = won) -> None:
            begin.wait()
            try:
                with mark_in_use(resolve(str(tmp_path)), "rebuild_corpus"):
                    won.append(1)
                    end.wait()
            except WarehouseError:
                end.wait()

        threads = [threading.Thread(target=attempt) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [1]
    assert files(tmp_path) == []


def test_jobs_that_write_tables_stop_with_exit_code_75_while_another_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_stages, "start_session", lambda *_: pytest.fail("a session was started"))
    argv = ["--config", str(ROOT / "conf" / "demo.toml"), "--set", f"warehouse.path={tmp_path}"]
    with mark_in_use(resolve(str(tmp_path)), "forget_documents"):
        assert [rebuild_corpus.main(argv), maintain_warehouse.main(argv)] == [75, 75]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("shows another run: forget_documents on " in line for line in lines)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("is_rewritten", [False, True])
def test_a_run_that_another_took_for_killed_stops_before_its_next_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_rewritten: bool
) -> None:
    """``is_rewritten``: it has rewritten its own file at the moment at which the other removed it."""
    warehouse = Warehouse(cast(Any, None), str(tmp_path))
    with mark_in_use(warehouse.root, "rebuild_corpus") as check_marker:
        warehouse.check_marker = check_marker
        warehouse.commit_rows("corpus_totals", [], Provenance("count_cooccurrence", 1))
        [own] = files(tmp_path)
        path = tmp_path / FOLDER / own
        monkeypatch.setattr(run_marker, "_is_taken_over", lambda *_: True)  # suspended: it is not renewed
        time.sleep(0.1)
        path.unlink()
        monkeypatch.undo()
        other = write_mark(tmp_path, "2099-01-01T00:00:00.0Z")
        if is_rewritten:
            path.write_text("runs\n")
        with pytest.raises(TransientError, match="took this one for killed"):
            warehouse.commit_rows("corpus_totals", [], Provenance("count_cooccurrence", 2))
        assert warehouse.content("corpus_totals") == Warehouse(cast(Any, None), str(tmp_path)).content("corpus_totals")
        time.sleep(0.1)
        assert path.exists() == is_rewritten
    assert files(tmp_path) == [other.name]


def test_an_own_marker_or_a_run_that_stopped_at_its_start_is_no_takeover(tmp_path: Path) -> None:
    with mark_in_use(resolve(str(tmp_path)), "rebuild_corpus") as check_marker:
        check_marker()
        write_mark(tmp_path, "2099-01-01T00:00:00.0Z", content="")
        write_mark(tmp_path, "1999-01-01T00:00:00.0Z")
        (tmp_path / FOLDER / "zzz").write_text("x")
        check_marker()
