"""Finds what still holds forgotten documents: older versions of tables, and artefacts that were made from them."""

import json
from collections.abc import Iterator, Sequence

from pyarrow import fs

from jobs.framework.stage import Run
from jobs.warehouse.check_forgotten import RECORD_TABLES
from jobs.warehouse.delta.commit_history import commits_of
from jobs.warehouse.delta.open_table import LOG, add_actions, data_files, open_delta, stored_files
from jobs.warehouse.releases import read_release
from pivot_udfs.errors import ConfigError
from pivot_udfs.provenance import Provenance
from pivot_udfs.shards.list_shards import HIDDEN
from pivot_udfs.shards.quarantine_reasons import RAW_BYTES
from pivot_udfs.storage.list_files import list_folder, list_tree, look_up
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import printable
from pivot_udfs.storage.stores import resolve

_ARTEFACTS = ("manifest.json", "state.json", "_provenance.json")
"""Files of packed datasets, checkpoints and models; the last is a provenance, the others hold one in ``provenance``."""


def check_folders(folders: Sequence[str]) -> None:
    """Raises ConfigError where one of ``--artefacts`` is no folder, so that nothing would be found in it."""
    for folder in folders:
        if look_up(resolve(folder)).type != fs.FileType.Directory:
            raise ConfigError(f"--artefacts {printable(folder)} is no folder: correct the path, nothing is forgotten")


def tables_with_rows(run: Run) -> list[str]:
    """The tables that this run's settings make and that hold rows of single documents, or name them."""
    return [
        *RECORD_TABLES,
        *(f"datasets/{arm}" for arm in run.settings.selection.arms),
    ]


def other_datasets(run: Run) -> list[str]:
    """The datasets in the warehouse that are not in ``selection.arms``, so that no stage makes them again."""
    names = [f"datasets/{entry.location.name}" for entry in list_folder(run.warehouse.location("datasets"), HIDDEN)]
    return sorted(set(names) - set(tables_with_rows(run)))


def copies(run: Run, folders: Sequence[str], compared: Sequence[str] = ()) -> Iterator[str]:
    """One line for each table and artefact that can still hold forgotten documents, after the tables were made again.

    ``folders`` are searched for packed datasets, checkpoints and models. ``compared``: the columns of ``quarantine`` by
    which rejected records were found; of those without a value in one of them it is not known.
    """
    older = [line for name in tables_with_rows(run) for line in _older_versions(run, name)]
    yield from older
    if n_unknown := _n_unknown(run, compared):
        yield (
            f"{run.warehouse.table_path('quarantine')}: perhaps, up to {n_unknown:,} rejected records without "
            f"{' or '.join(compared)}, with up to {RAW_BYTES:,} bytes each: forget their shards"
        )
    n_releases = _n_releases_before(run)
    if older and n_releases:
        yield f"releases before {n_releases}, which name these versions"
    for name in other_datasets(run):
        yield f"{run.warehouse.table_path(name)}: its newest version; it is not in selection.arms: remove the folder"
    for folder in folders:
        for entry in list_tree(resolve(folder)):
            if entry.location.name in _ARTEFACTS and entry.type == fs.FileType.File:
                yield from _outdated(run, entry.location)


def _n_unknown(run: Run, columns: Sequence[str]) -> int:
    """At most how many rows of ``quarantine`` lack a value, by the statistics of its files."""
    delta = run.warehouse.opened("quarantine") if columns else None
    files = add_actions(delta).to_pylist() if delta else []
    return sum(
        min(file["num_records"] or 0, sum(file.get(f"null_count.{column}") or 0 for column in columns))
        for file in files
    )


def _n_releases_before(run: Run) -> int:
    """The number of the first release with the newest rows of documents, which may be still to come."""
    release = read_release(run.warehouse.root)
    if release is None:
        return 0
    rows = run.warehouse.rows(tables_with_rows(run))
    return release.release + (not all(release.holds(name, of) for name, of in rows.items()))


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
    if old:
        last = content.version - 1
        what = f"versions from {oldest} to {last}" if oldest <= last else "files of runs that were stopped"
        yield f"{location}: {what} ({len(old):,} files, {sum(old) / 1e6:,.1f} MB)"


def _outdated(run: Run, file: Location) -> Iterator[str]:
    """An artefact made from other rows of documents than the newest of a table, or from a dataset that stays."""
    text = file.read()
    try:
        tree = json.loads(text)
    except ValueError:
        yield f"{file}: cannot be read, so that it is not known what it was made from"
        return
    made = Provenance.from_tree(tree.get("provenance", tree)) if isinstance(tree, dict) else None
    kept = other_datasets(run)
    for name, rows in (made.tables if made else {}).items():
        if name not in RECORD_TABLES and not name.startswith("datasets/"):
            continue  # counts and pivots hold no document
        content = run.warehouse.content(name)
        if content is None or content.rows != rows or name in kept:
            other = "" if content and content.id == rows.id else ", which was made anew or is of another warehouse"
            yield f"{file}: made by {made.job if made else ''} from {name} {rows}{other}"
