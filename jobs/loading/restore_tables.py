"""Brings ``documents`` and ``quarantine`` back to the rows that the table ``shards`` lists."""

from jobs.framework.stage import Run
from jobs.loading.compare_shards import read_loaded
from jobs.loading.replace_shards import commit_shards
from pivot_udfs.errors import MissingVersionError
from pivot_udfs.provenance import Provenance


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
