"""Commits Parquet files that workers wrote to a Delta table: as its new content, or as a change of its files.

It goes through delta-rs, which takes existing files by a public interface; Delta Lake's own library has one only
inside the JVM, and reconstructs the table's state with Spark jobs around each commit, over a second a table.
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from jobs.warehouse.delta.commit_history import (
    FILES_AFTER,
    ROWS_AFTER,
    SAME_ROWS,
    TABLES_WITH,
    VERSION,
    Content,
    has_lost,
    hash_of_paths,
    maintained_version,
    read_content,
)
from jobs.warehouse.delta.open_table import (
    MADE_ANEW,
    add_actions,
    check_files,
    missing_version,
    open_delta,
    rows_in,
    sizes_in,
)
from pivot_udfs.errors import DamagedTableError, TransientError, WarehouseError
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.store_credentials import delta_options
from pivot_udfs.storage.stores import STORE_ERRORS, delta_uri
from pivot_udfs.storage.write_parquet import WrittenFile

_CONFIGURATION = {"delta.checkpointInterval": "10", "delta.enableExpiredLogCleanup": "false"}
"""delta-rs alone would write its first checkpoint at version 99, and Delta Lake's own library has 10. The log keeps the
commits with the provenance of rows and the versions that releases name."""


def commit_files(
    table: Location,
    began: Content | None,
    schema: pa.Schema,
    files: Sequence[WrittenFile],
    provenance: Provenance | None,
    removed: Collection[str] | None = None,
    tables: Mapping[str, TableVersion] | None = None,
) -> Content:
    """Adds files to a table in its folder and removes others, in one transaction.

    Returns the state of the table after it. ``began`` is the state when the run looked at the table first (None: there
    was none; it is created); ``provenance`` None: the rows stay, ``files`` hold those of ``removed``, as after an
    OPTIMIZE; ``removed`` are paths (None: all, so that ``files`` become the whole content); ``tables`` are states of
    other tables that belong to this one, for ``Content.tables``. Raises WarehouseError where another run has changed
    the table's rows since ``began``, a file is no longer there, or the commit is refused.
    """
    # The table that was compared is the one that is committed to: without retries a later commit makes this one fail.
    delta = unchanged(table, began)
    actions = add_actions(delta) if delta else None
    sizes = sizes_in(actions) if actions is not None else {}
    if not sizes.keys() >= set(removed or ()):
        raise written_by_another(table, "files that are removed with this commit were compacted")
    left = set() if removed is None else sizes.keys() - set(removed)
    now = int(time.time() * 1000)
    changes = provenance is not None
    added = [AddAction(file["path"], file["n_bytes"], {}, now, changes, file["stats"]) for file in files]
    gone = [RemoveAction(path, changes, now, sizes[path], {}) for path in removed or ()]
    paths = hash_of_paths([*left, *(file["path"] for file in files)])
    version = int(delta.version()) + 1 if delta else 0
    recorded, n_rows = {FILES_AFTER: paths, VERSION: str(version)}, _rows_after(actions, files, left)
    if provenance:
        of_tables = {name: list(state) for name, state in (tables or {}).items()}
        recorded |= {"userMetadata": provenance.to_json(), TABLES_WITH: json.dumps(of_tables)}
    else:
        recorded[SAME_ROWS] = "true"
    recorded |= {} if n_rows is None else {ROWS_AFTER: str(n_rows)}
    properties = CommitProperties(custom_metadata=recorded, max_commit_retries=0)
    nullable = Schema.from_arrow(pa.schema([field.with_nullable(True) for field in schema]))
    mode = "overwrite" if removed is None else "append"
    try:
        _check_there(table, files)
        if delta:
            delta.create_write_transaction([*added, *gone], mode, nullable, [], commit_properties=properties)
        else:
            about = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
            delta = _created(table, nullable, added, about, properties)
    except (DeltaError, *STORE_ERRORS) as error:
        raise _commit_error(table, error) from None
    if began and not provenance:
        return replace(began, newest=version)
    table_id = str(delta.metadata().id)
    return Content(table_id, version, version, provenance, version, True, paths, dict(tables or {}), n_rows)


def _rows_after(actions: pa.Table | None, files: Sequence[WrittenFile], left: Collection[str]) -> int | None:
    """The rows of the files that are left and those that are added; None where that is not known."""
    n_rows = sum(file["n_records"] for file in files)
    if actions is None or not left:
        return n_rows
    n_left = rows_in(actions.filter(pc.is_in(actions.column("path"), pa.array(sorted(left), pa.string()))))
    return None if n_left is None else n_left + n_rows


def _check_there(table: Location, files: Sequence[WrittenFile]) -> None:
    found = table.filesystem.get_file_info([table.child(file["path"]).path for file in files])
    for file, info in zip(files, found, strict=True):
        if info.size != file["n_bytes"]:
            raise TransientError(
                f"{table} was not committed to: {file['path']}, which this run wrote, was removed or cut since: run "
                "this again, and a VACUUM only while no job runs, or of files that are older than any run takes"
            )


def roll_back(table: Location, rows: TableVersion) -> Content:
    """Makes the rows of an earlier version the newest, by a commit that restores its files or compacted ones.

    Raises MissingVersionError where the table no longer has that version or its files, WarehouseError where it cannot
    be read or committed to, or another run commits meanwhile.
    """
    delta = open_delta(table)
    if delta is None or has_lost(delta, rows):
        raise missing_version(table, rows.version, MADE_ANEW)
    version = maintained_version(delta, rows.version)
    content = read_content(delta, version)
    if content.version != rows.version or not content.exact:
        raise missing_version(table, rows.version, "its commit is damaged")
    try:
        check_files(table, open_delta(table, version), content)
        once = CommitProperties(max_commit_retries=0)
        delta.restore(version, commit_properties=once)
    except DamagedTableError as error:
        raise missing_version(table, version, str(error)) from None
    except (DeltaError, *STORE_ERRORS) as error:
        raise _commit_error(table, error) from None
    return read_content(delta)


def _commit_error(table: Location, error: Exception) -> WarehouseError:
    if isinstance(error, CommitFailedError) or "already exists" in str(error):
        return written_by_another(table, reason(error))
    return WarehouseError(f"{table} cannot be committed to ({reason(error)})")


def _created(
    table: Location, schema: Schema, actions: list[AddAction], about: dict[str, str], properties: CommitProperties
) -> DeltaTable:
    uri = delta_uri(table, for_commit=True)
    options, name, description = delta_options(uri), about.get("name"), about.get("description")
    create_table_with_add_actions(
        uri, schema, actions, "error", [], name, description, _CONFIGURATION, options, commit_properties=properties
    )
    return DeltaTable(uri, storage_options=options)


def unchanged(table: Location, began: Content | None) -> DeltaTable | None:
    """The table, whose rows are those of ``began``; None where there was none and is none.

    Raises WarehouseError where another run has written, made or removed it since.
    """
    delta = open_delta(table)
    content = read_content(delta) if delta else None
    if (content and content.rows) != (began and began.rows):
        state = f"is {content.rows} now" if content else "is no longer there"
        raise written_by_another(table, f"it {state}, and {began.rows if began else 'was not there'} before")
    return delta


def written_by_another(table: Location, why: str) -> TransientError:
    """The error of a run whose tables another run has changed."""
    return TransientError(
        f"another run has written {table} meanwhile ({why}): nothing of this run went into it; wait "
        "until the other has ended, then run this again"
    )
