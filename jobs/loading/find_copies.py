"""Finds what still holds forgotten documents: older versions of tables, and artefacts that were made from them."""

import json
from collections.abc import Iterator, Sequence

from jobs.framework.stage import Run
from jobs.warehouse.commit import data_files
from jobs.warehouse.commit_history import commits_of
from jobs.warehouse.open_table import LOG, open_delta, stored_files
from jobs.warehouse.releases import read_release
from pivot_udfs.provenance import Provenance
from pivot_udfs.storage.list_files import list_folder, list_tree
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.stores import resolve

_ARTEFACTS = ("manifest.json", "state.json")
"""Files of packed datasets and checkpoints that hold a provenance under the key ``provenance``."""


def tables_with_rows(run: Run) -> list[str]:
    """The tables that this run's settings make and that hold rows of single documents, or name them."""
    return [
        "documents",
        "quarantine",
        "document_scores",
        "selection_cuts",
        *(f"datasets/{arm}" for arm in run.settings.selection.arms),
    ]


def other_datasets(run: Run) -> list[str]:
    """The datasets in the warehouse that are not in ``selection.arms``, so that no stage makes them again."""
    names = [f"datasets/{entry.location.name}" for entry in list_folder(run.warehouse.location("datasets"))]
    return sorted(set(names) - set(tables_with_rows(run)))


def copies(run: Run, folders: Sequence[str]) -> Iterator[str]:
    """One line for each table and artefact that can still hold forgotten documents, after the tables were made again.

    ``folders`` are searched for packed datasets and checkpoints.
    """
    older = [line for name in tables_with_rows(run) for line in _older_versions(run, name)]
    yield from older
    release = read_release(run.warehouse.root)
    if older and release and release.release:
        yield f"releases before {release.release}, which name these versions"
    for name in other_datasets(run):
        yield f"{run.warehouse.table_path(name)}: its newest version; it is not in selection.arms: remove the folder"
    for folder in folders:
        for entry in list_tree(resolve(folder)):
            if entry.location.name in _ARTEFACTS:
                yield from _outdated(run, entry.location)


def _older_versions(run: Run, name: str) -> Iterator[str]:
    """Only where files of them are still there."""
    location, content = run.warehouse.location(name), run.warehouse.content(name)
    delta = open_delta(location)
    if delta is None or content is None:
        return
    named = data_files(delta)
    stored = {path: n for path, n in stored_files(location).items() if not path.startswith(f"{LOG}/")}
    old = [n_bytes for path, n_bytes in stored.items() if path not in named]
    oldest = min(commit.version for commit in commits_of(delta))
    if old and oldest < content.version:
        size = f"{len(old):,} files, {sum(old) / 1e6:,.1f} MB"
        yield f"{location}: versions from {oldest} to {content.version - 1} ({size})"


def _outdated(run: Run, file: Location) -> Iterator[str]:
    """An artefact that was made from other rows of a table than the newest, or from a dataset that stays as it is."""
    with file.open_input() as stream:
        made = Provenance.from_json(json.dumps(json.loads(stream.read()).get("provenance")))
    kept = other_datasets(run)
    for name, rows in (made.tables if made else {}).items():
        content = run.warehouse.content(name)
        if content and content.id == rows.id and (content.rows != rows or name in kept):
            yield f"{file}: made by {made.job if made else ''} from {name} {rows}"
