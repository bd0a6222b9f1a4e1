"""Brings ``documents`` and ``quarantine`` back to the rows that the table ``shards`` lists."""

from jobs.framework.stage import Run
from jobs.loading.loaded_shards import read_loaded
from jobs.loading.replace_shards import commit_shards
from jobs.warehouse.releases import TABLE as RELEASES
from pivot_udfs.errors import MissingVersionError, WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import BLOCK_LIST

_LOADED = ("documents", "quarantine", "shards", BLOCK_LIST)
_NAMING = ("shards", "corpus_totals", "document_scores", RELEASES)
"""Tables that name the versions of others from which they were made, or to which they belong."""


def check_logs(run: Run) -> None:
    """Compares the logs of loaded tables with the versions that other tables name.

    Raises WarehouseError where a log ends before such a version: its commits were lost. New commits would take their
    numbers, so that what was made from the lost rows would pass for up to date.
    """
    warehouse = run.warehouse
    states = {name: warehouse.content(name) for name in {*_LOADED, *_NAMING} if warehouse.made(name)}
    for naming in _NAMING:
        content, made = states.get(naming), warehouse.made(naming)
        for table, rows in {**made.tables, **content.tables}.items() if made and content else ():
            present = states.get(table) if table in _LOADED else None
            if present and present.id == rows.id and present.newest < rows.version:
                raise _commits_lost(warehouse.table_path(table), present.newest, naming, rows.version)


def _commits_lost(table: str, newest: int, naming: str, named: int) -> WarehouseError:
    remedy = "" if table.endswith(BLOCK_LIST) else f", or remove {table} and run rebuild_corpus"
    return WarehouseError(
        f"the log of {table} ends at version {newest}, but {naming} was made with version {named}, so that commits "
        f"were lost: restore its log from a copy{remedy}"
    )


def restored(run: Run, job: str, provenance: Provenance) -> bool:
    """Undoes what a run that was stopped, or another tool, has done to the tables since ``shards`` was committed.

    ``shards`` is committed first, with this provenance: if the other run still goes on, one of the two fails at its
    commit. False where the rows are no longer there, or another tool has changed ``shards`` itself. Raises
    WarehouseError where it cannot be known, or another run has changed a table.
    """
    ahead, shards = run.ahead_of_shards(), run.warehouse.content("shards")
    if shards and not shards.exact:
        return False
    if ahead is None or shards is None:
        return True
    run.progress.say(job, f"{ahead}: they are restored")
    loaded = read_loaded(run.warehouse.location("shards"))
    commit_shards(run.warehouse, loaded.values(), provenance, shards.tables)
    try:
        for table, rows in run.tables_ahead().items():
            run.warehouse.roll_back(table, rows)
    except MissingVersionError as error:
        run.progress.say(job, f"reads all shards anew: {error}")
        return False
    return True
