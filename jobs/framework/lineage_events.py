"""Reports each stage that runs as OpenLineage events: START, then COMPLETE, FAIL or ABORT.

The events go to ``lineage.target`` through the official client: this module is imported only where that is set. An
event that cannot be delivered is a warning and never stops a run.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openlineage.client import OpenLineageClient, set_producer
from openlineage.client import event_v2 as events
from openlineage.client import facet_v2 as facets
from openlineage.client.uuid import generate_new_uuid

from jobs.framework.log_lines import clean
from jobs.framework.stage import Run, Stage
from jobs.warehouse.spark_tables import TableSize
from pivot_udfs import __version__
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.stores import resolve

_PRODUCER = f"urn:semantic-pivots:{__version__}"


@contextmanager
def reported(run: Run, stage: Stage) -> Iterator[None]:
    """Reports a stage that runs inside the ``with`` block."""
    run_id = str(generate_new_uuid())
    _send(run, stage, lambda: _event(run, stage, run_id, "START"))
    try:
        yield
    except BaseException as error:
        kind, message = "FAIL" if isinstance(error, Exception) else "ABORT", f"{type(error).__name__}: {error}"
        _send(run, stage, lambda: _event(run, stage, run_id, kind, message))
        raise
    _send(run, stage, lambda: _event(run, stage, run_id, "COMPLETE"))


def _send(run: Run, stage: Stage, event: Callable[[], events.RunEvent]) -> None:
    try:
        _client(run.settings.lineage.target).emit(event())
    except Exception as fault:
        run.progress.say(stage.name, f"warning: an OpenLineage event was not delivered ({clean(str(fault))})")


def _client(target: str) -> OpenLineageClient:
    set_producer(_PRODUCER)
    transport: dict[str, Any]
    if target.startswith(("http://", "https://")):
        key = os.environ.get("OPENLINEAGE_API_KEY")
        transport = {"type": "http", "url": target, "auth": {"type": "api_key", "apiKey": key} if key else {}}
    else:
        transport = {"type": "file", "log_file_path": resolve(target).path, "append": True}
    return OpenLineageClient(config={"transport": transport})


def _event(run: Run, stage: Stage, run_id: str, kind: str, error: str = "") -> events.RunEvent:
    of_run: dict[str, facets.RunFacet] = {}
    if error:
        of_run["errorMessage"] = facets.error_message_run.ErrorMessageRunFacet(clean(error), "PYTHON")
    return events.RunEvent(
        eventTime=datetime.now(UTC).isoformat(),
        producer=_PRODUCER,
        run=events.Run(run_id, of_run),
        job=_job(run, stage),
        eventType=events.RunState[kind],
        inputs=_inputs(run, stage),
        outputs=_outputs(run, stage) if kind == "COMPLETE" else [],
    )


def _job(run: Run, stage: Stage) -> events.Job:
    """The namespace is the warehouse, so that runs over two of them stay apart."""
    code = Path(sys.modules[stage.run.__module__].__file__ or "")
    source = facets.source_code_location_job.SourceCodeLocationJobFacet(
        "python", code.resolve().as_uri(), path=f"jobs/{code.name}", version=f"{__version__}, stage {stage.version}"
    )
    kind = facets.job_type_job.JobTypeJobFacet("BATCH", "SPARK", jobType="JOB")
    return events.Job(run.warehouse.root.uri, stage.name, {"sourceCodeLocation": source, "jobType": kind})


def _inputs(run: Run, stage: Stage) -> list[events.InputDataset]:
    """The tables that are read, at their versions; files by their SHA-256; shards as they are configured."""
    found = []
    for place, size in _sizes(run, stage.tables_read(run.settings)):
        read = facets.input_statistics_input_dataset.InputStatisticsInputDatasetFacet(*size[1:])
        version = _version(str(size.version))
        found.append(events.InputDataset(*place, facets=version, inputFacets={"inputStatistics": read}))
    for name in stage.files:
        places = run.settings.corpus.inputs if name == "shards" else [getattr(run.settings, name).path]
        known = {} if name == "shards" else _version(run.file_hash(name))
        found += [events.InputDataset(*place, facets=known) for place in map(_named, map(resolve, places))]
    return found


def _outputs(run: Run, stage: Stage) -> list[events.OutputDataset]:
    found = []
    for place, size in _sizes(run, stage.writes(run.settings)):
        rows = facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(*size[1:])
        version = _version(str(size.version))
        found.append(events.OutputDataset(*place, facets=version, outputFacets={"outputStatistics": rows}))
    return found


def _version(version: str) -> dict[str, facets.DatasetFacet]:
    return {"version": facets.dataset_version_dataset.DatasetVersionDatasetFacet(version)}


def _sizes(run: Run, names: Iterable[str]) -> Iterator[tuple[tuple[str, str], TableSize]]:
    """(namespace, name) and size of each table that is there."""
    sizes = ((name, run.warehouse.size(name)) for name in names)
    return ((_named(run.warehouse.location(name)), size) for name, size in sizes if size)


def _named(location: Location) -> tuple[str, str]:
    """Namespace and name of a dataset, after OpenLineage's rules for file systems and object stores."""
    if location.is_local:
        return "file", location.path
    return f"{location.scheme}://{location.authority}", location.key
