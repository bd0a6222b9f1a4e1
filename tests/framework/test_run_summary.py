"""The JSON file at the end of a rebuild."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobs import rebuild_corpus, write_report
from jobs.framework import log_lines
from jobs.framework.progress import Progress, StageRun
from jobs.framework.run_summary import FILE, write_summary
from jobs.loading.compare_shards import LoadedShard
from jobs.loading.replace_shards import commit_shards
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.provenance import Provenance

SECRET = "wJalrXUtnFEMI-K7MDENG"  # noqa: S105 - a test's


def test_the_summary_has_stages_and_sizes_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "_secrets", set())
    log_lines.hide([SECRET])
    run: Any = SimpleNamespace(progress=Progress(), warehouse=Warehouse(cast(Any, None), str(tmp_path)))
    made = Provenance("a_job", 1)
    commit_shards(run.warehouse, [LoadedShard(name, "", 10, 0, 1, 0, 1, 0, 0) for name in "ab"], made, {})
    rows = [{"lang": lang, "n_docs": 2, "n_tokens": 30} for lang in ("en", "fr")]
    run.warehouse.commit_rows("corpus_totals", rows, Provenance("a_job", 1))
    run.progress.stages += [StageRun("a", True, f"key = {SECRET}", 1.5, 2.5), StageRun("b", False, None, 0.1)]
    write_summary(run, "rebuild_corpus", ["corpus_totals", "pivots"], 3, {"documents": 2})
    summary = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    assert summary["stages"] == [
        {"stage": "a", "ran": True, "reason": "key = ***", "seconds": 1.5, "core_seconds": 2.5},
        {"stage": "b", "ran": False, "reason": None, "seconds": 0.1, "core_seconds": 0.0},
    ]
    (file,) = (tmp_path / "corpus_totals").glob("*.parquet")
    sizes = {"version": 0, "rows": 2, "bytes": file.stat().st_size, "files": 1}
    assert summary["tables"] == {"corpus_totals": sizes}
    assert (summary["shards"], summary["shard_bytes"]) == (2, 20)
    assert (summary["job"], summary["release"], summary["changes"]) == ("rebuild_corpus", 3, {"documents": 2})
    assert summary["started_at"] <= summary["ended_at"]


@pytest.mark.parametrize(("json_job", "printed"), [([], "the ten best pivots"), (["rebuild_corpus"], "")])
def test_the_best_pivots_are_not_printed_between_json_lines(
    json_job: list[str], printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log_lines, "_json_job", json_job)
    monkeypatch.setattr(rebuild_corpus, "STAGES", [])
    monkeypatch.setattr(rebuild_corpus, "run_changed", lambda *_: None)
    monkeypatch.setattr(rebuild_corpus, "describe_rebuild", lambda *_: "the ten best pivots")
    monkeypatch.setattr(write_report, "report_location", lambda _: "report.html")
    rebuild_corpus.run(cast(Any, SimpleNamespace(settings=None)), rebuild_corpus.Request())
    assert capsys.readouterr().out == printed
