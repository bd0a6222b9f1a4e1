"""Events of stages: valid by OpenLineage's own schemas, with versions and row counts, and never a reason to fail."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pyspark.sql import SparkSession
from referencing import Registry, Resource

from jobs.framework.lineage_events import reported
from jobs.framework.log_lines import hide
from jobs.framework.stage import Run, Stage
from jobs.warehouse.delta.commit import commit_files
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import TABLES
from pivot_udfs.settings import Corpus, Lexicon, Lineage, Settings, Tokenizer, Warehouse
from pivot_udfs.storage.write_parquet import rows_of_table, step_to_files

ROOT = Path(__file__).parents[2]
SCHEMAS = [json.loads(path.read_text()) for path in (ROOT / "tests" / "openlineage_schemas").glob("*.json")]
REGISTRY: Any = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS])
RUN_EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


def check(event: Any) -> None:
    """Validates an event, and each of its facets, against the schemas that they name."""
    assert event["schemaURL"] == RUN_EVENT
    parts = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    named = [(facet["_schemaURL"], facet) for part in parts for key in part for facet in facets(part, key)]
    for url, value in [(RUN_EVENT, event), *named]:
        Draft202012Validator({"$ref": url}, registry=REGISTRY, format_checker=FormatChecker()).validate(value)


def facets(part: dict[str, Any], key: str) -> list[Any]:
    return list(part[key].values()) if key.lower().endswith("facets") else []


def write(run: Run, table: str, n_rows: int) -> None:
    schema, location = TABLES[table].schema, run.warehouse.location(table)
    row = {"token_id": 3, "count": 1, "doc_count": 1, "lang": "fr", "n_docs": 1, "n_tokens": 5}
    batch = pa.RecordBatch.from_pylist([{name: row[name] for name in schema.names}] * n_rows, schema)
    step = partial(rows_of_table, table=table, schema=schema)
    written = step_to_files(iter([batch]), step, {table: location.uri})
    files = [file for each in written for file in each.to_pylist()]
    commit_files(location, run.warehouse.content(table), schema, files, Provenance("a_job", 1))
    run.warehouse._known.clear()


def a_stage(body: Callable[[Run], object]) -> Stage:
    def body_of_stage(run: Run, provenance: Provenance) -> None:
        body(run)

    return Stage("count_cooccurrence", 2, ("corpus_totals",), (), ("tokenizer", "shards"), body_of_stage)


def a_run(folder: Path, target: str) -> Run:
    settings = Settings(
        corpus=Corpus(inputs=["s3://bucket/shards/*.jsonl"]),
        warehouse=Warehouse(path=str(folder / "warehouse")),
        tokenizer=Tokenizer(path=str(ROOT / "tests" / "samples" / "tokenizer.json")),
        lexicon=Lexicon(path="lexicon.tsv", languages=["en", "fr"]),
        lineage=Lineage(target=target),
    )
    run = Run(cast(SparkSession, None), settings)
    write(run, "corpus_totals", 2)
    return run


def report_stage(run: Run, body: Callable[[Run], object]) -> None:
    stage = a_stage(body)
    with reported(run, stage):
        stage.run(run, Provenance("a_job", 1))


def events_of(path: Path) -> list[Any]:
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        check(event)
    return events


def test_a_stage_is_reported_with_versions_row_counts_and_source(tmp_path: Path) -> None:
    run = a_run(tmp_path, str(tmp_path / "events.jsonl"))
    write(run, "token_totals", 4)
    report_stage(run, lambda run: write(run, "token_totals", 7))
    start, complete = events_of(tmp_path / "events.jsonl")
    assert [start["eventType"], complete["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert (start["job"]["namespace"], start["job"]["name"]) == (f"file://{tmp_path}/warehouse", "count_cooccurrence")
    totals, tokenizer, shards = start["inputs"]
    assert (totals["namespace"], totals["name"]) == ("file", f"{tmp_path}/warehouse/corpus_totals")
    assert totals["facets"]["version"]["datasetVersion"] == "0"
    assert totals["inputFacets"]["inputStatistics"]["rowCount"] == 2
    assert len(tokenizer["facets"]["version"]["datasetVersion"]) == 64
    assert (shards["namespace"], shards["name"]) == ("s3://bucket", "shards/*.jsonl")
    _, written = complete["outputs"]  # the first is corpus_totals
    assert written["name"] == f"{tmp_path}/warehouse/token_totals"
    assert written["facets"]["version"]["datasetVersion"] == "1"
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert start["outputs"] == []
    assert complete["job"]["facets"]["sourceCodeLocation"]["path"].endswith(Path(__file__).name)


@pytest.mark.parametrize(("error", "kind"), [(ValueError("key=hunter22"), "FAIL"), (KeyboardInterrupt(), "ABORT")])
def test_a_failed_stage_is_reported_without_secrets(tmp_path: Path, error: BaseException, kind: str) -> None:
    run = a_run(tmp_path, str(tmp_path / "events.jsonl"))
    hide(["hunter22"])

    def fail(run: Run) -> None:
        raise error

    with pytest.raises(type(error)):
        report_stage(run, fail)
    failed = events_of(tmp_path / "events.jsonl")[-1]
    assert failed["eventType"] == kind
    assert failed["run"]["facets"]["errorMessage"]["message"].startswith(type(error).__name__)
    assert "hunter22" not in (tmp_path / "events.jsonl").read_text()


def test_events_are_posted_to_a_server(tmp_path: Path) -> None:
    received: list[Any] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    report_stage(a_run(tmp_path, f"http://127.0.0.1:{server.server_port}"), lambda run: None)
    server.shutdown()
    assert [(path, event["eventType"]) for path, event in received] == [
        ("/api/v1/lineage", "START"),
        ("/api/v1/lineage", "COMPLETE"),
    ]
    for _, event in received:
        check(event)


def test_a_target_that_cannot_be_written_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "events").mkdir()
    done: list[int] = []
    report_stage(a_run(tmp_path, str(tmp_path / "events")), lambda run: done.append(1))
    assert done == [1]
    assert "warning: an OpenLineage event was not delivered" in capsys.readouterr().err


def test_the_client_is_not_imported_without_a_target(tmp_path: Path) -> None:
    script = "import jobs.rebuild_corpus, sys; print([name for name in sys.modules if 'openlineage' in name])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("target", ["s3://bucket/events", "kafka://x"])
def test_other_schemes_are_refused(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        Lineage(target=target)
