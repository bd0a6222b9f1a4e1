"""Reports each stage that runs as OpenLineage events: START, then COMPLETE, FAIL or ABORT.

The events go to ``lineage.target`` through the official client, which is imported only where that is set. An event that
cannot be delivered is a warning and never stops a run.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.framework.log_lines import clean
from jobs.framework.stage import Run, Stage
from jobs.warehouse.spark_tables import TableSize
from pivot_udfs import __version__
from pivot_udfs.errors import SetupError
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.stores import resolve

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, RunEvent
    from openlineage.client.facet_v2 import DatasetFacet

_PRODUCER = f"urn:semantic-pivots:{__version__}"


@contextmanager
def reported(run: Run, stage: Stage) -> Iterator[None]:
    """Reports a stage that runs inside the ``with`` block; does nothing where ``lineage.target`` is empty.

    Raises SetupError where the client is not installed.
    """
    if not run.settings.lineage.target:
        yield
        return
    try:
        from openlineage.client.uuid import generate_new_uuid
    except ImportError:
        raise SetupError(
            "lineage.target needs the client of OpenLineage: pip install openlineage-python, or leave it empty"
        ) from None
    run_id = str(generate_new_uuid())
    _send(run, stage, lambda: _event(run, stage, run_id, "START"))
    try:
        yield
    except BaseException as error:
        kind, message = "FAIL" if isinstance(error, Exception) else "ABORT", f"{type(error).__name__}: {error}"
        _send(run, stage, lambda: _event(run, stage, run_id, kind, message))
        raise
    _send(run, stage, lambda: _event(run, stage, run_id, "COMPLETE"))


def _send(run: Run, stage: Stage, event: Callable[[], "RunEvent"]) -> None:
    try:
        _client(run.settings.lineage.target).emit(event())
    except Exception as fault:
        run.progress.say(stage.name, f"warning: an OpenLineage event was not delivered ({clean(str(fault))})")


def _client(target: str) -> "OpenLineageClient":
    from openlineage.client import OpenLineageClient, set_producer

    set_producer(_PRODUCER)
    transport: dict[str, Any]
    if target.startswith(("http://", "https://")):
        key = os.environ.get("OPENLINEAGE_API_KEY")
        transport = {"type": "http", "url": target, "auth": {"type": "api_key", "apiKey": key} if key else {}}
    else:
        transport = {"type": "file", "log_file_path": resolve(target).path, "append": True}
    return OpenLineageClient(config={"transport": transport})


def _event(run: Run, stage: Stage, run_id: str, kind: str, error: str = "") -> "RunEvent":
    from openlineage.client import event_v2 as events
    from openlineage.client.facet_v2 import RunFacet, error_message_run

    facets: dict[str, RunFacet] = {}
    if error:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(clean(error), "PYTHON")
    return events.RunEvent(
        eventTime=datetime.now(UTC).isoformat(),
        producer=_PRODUCER,
        run=events.Run(run_id, facets),
        job=_job(run, stage),
        eventType=events.RunState[kind],
        inputs=_inputs(run, stage),
        outputs=_outputs(run, stage) if kind == "COMPLETE" else [],
    )


def _job(run: Run, stage: Stage) -> "Job":
    """The namespace is the warehouse, so that runs over two of them stay apart."""
    from openlineage.client import event_v2 as events
    from openlineage.client.facet_v2 import job_type_job, source_code_location_job

    code = Path(sys.modules[stage.run.__module__].__file__ or "")
    source = source_code_location_job.SourceCodeLocationJobFacet(
        "python", code.resolve().as_uri(), path=f"jobs/{code.name}", version=f"{__version__}, stage {stage.version}"
    )
    kind = job_type_job.JobTypeJobFacet("BATCH", "SPARK", jobType="JOB")
    return events.Job(run.warehouse.root.uri, stage.name, {"sourceCodeLocation": source, "jobType": kind})


def _inputs(run: Run, stage: Stage) -> "list[InputDataset]":
    """The tables that are read, at their versions; files by their SHA-256; shards as they are configured."""
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import dataset_version_dataset as versions
    from openlineage.client.facet_v2 import input_statistics_input_dataset as statistics

    found = []
    for (namespace, table), size, facets in _tables(run, stage.tables_read(run.settings)):
        read = statistics.InputStatisticsInputDatasetFacet(*size[1:])
        found.append(InputDataset(namespace, table, facets=facets, inputFacets={"inputStatistics": read}))
    for name in stage.files:
        places = run.settings.corpus.inputs if name == "shards" else [getattr(run.settings, name).path]
        known = {} if name == "shards" else {"version": versions.DatasetVersionDatasetFacet(run.file_hash(name))}
        for namespace, path in map(_named, map(resolve, places)):
            found.append(InputDataset(namespace, path, facets={**known}))
    return found


def _outputs(run: Run, stage: Stage) -> "list[OutputDataset]":
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    found = []
    for (namespace, table), size, facets in _tables(run, stage.writes(run.settings)):
        rows = statistics.OutputStatisticsOutputDatasetFacet(*size[1:])
        found.append(OutputDataset(namespace, table, facets=facets, outputFacets={"outputStatistics": rows}))
    return found


def _tables(run: Run, names: Iterable[str]) -> Iterator[tuple[tuple[str, str], TableSize, "dict[str, DatasetFacet]"]]:
    """(namespace, name), size and facets of each table that is there."""
    from openlineage.client.facet_v2 import dataset_version_dataset as versions

    for name in names:
        if size := run.warehouse.size(name):
            version = versions.DatasetVersionDatasetFacet(str(size.version))
            yield _named(run.warehouse.location(name)), size, {"version": version}


def _named(location: Location) -> tuple[str, str]:
    """Namespace and name of a dataset, after OpenLineage's rules for file systems and object stores."""
    if location.is_local:
        return "file", location.path
    return f"{location.scheme}://{location.authority}", location.key
