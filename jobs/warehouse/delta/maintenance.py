"""Maintenance of one table through delta-rs: small files are compacted, unused ones removed, the log is checkpointed.

Rows do not change, so that no stage runs again. Files of old versions stay for ``maintenance.retention_hours``, those
of ``kept_versions`` as long as later runs can read them.
"""

import re
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from deltalake import ColumnProperties, DeltaTable, WriterProperties
from deltalake.exceptions import DeltaError
from pyarrow import fs

from jobs.warehouse.delta.commit_history import read_content
from jobs.warehouse.delta.open_table import LOG, add_actions, check_files, data_files, open_delta, stored_files
from jobs.warehouse.delta.refused_features import refused_feature
from pivot_udfs.errors import WarehouseError
from pivot_udfs.settings import Maintenance
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import STORE_ERRORS, delta_uri
from pivot_udfs.storage.typed_columns import pylist

CHECKPOINT_COMMITS = 10
"""Commits since the newest checkpoint from which a new one is written; readers replay these one by one."""
_CHECKPOINT = re.compile(rf"{LOG}/(\d{{20}})\.checkpoint.*\.parquet")
_UNFINISHED = re.compile(r"#\d+$")
_TOMBSTONE_HOURS = 168
"""Checkpoints list a removed file for this long (``delta.deletedFileRetentionDuration``)."""
_ROW_GROUP_BYTES = 8 << 20
"""Of stored rows, which take about four times that in memory."""
_LONG = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
_PURGE_THREADS = 16


def maintain_table(
    table: Location, settings: Maintenance, file_mb: int, keep: Sequence[int] | None, dry_run: bool
) -> str:
    """Maintains a table that this project wrote; returns one line: what was done, or would be with ``dry_run``.

    ``file_mb`` is the size of the files that small ones are compacted into; ``keep`` has versions that stay readable
    beside those within the retention (None: data files stay). Raises WarehouseError where the table is damaged, is not
    of this project, cannot be changed by delta-rs, or another run has changed it.
    """
    delta = open_delta(table)
    if delta is None:
        return "no commit yet: nothing to do"
    _check(table, delta)
    before = _state(delta)
    try:
        stored, done = stored_files(table), []
        if keep is not None:
            done += _compact(delta, settings, file_mb, dry_run)
            done += _vacuum(delta, stored, settings.retention_hours, keep, dry_run)
            done += _remove_unfinished(table, settings.retention_hours, dry_run)
        done += _checkpoint(delta, stored, dry_run)
    except (DeltaError, *STORE_ERRORS) as error:
        raise WarehouseError(f"{table} cannot be maintained ({reason(error)})") from None
    after = "" if dry_run or not done else f"; now {_state(delta)}"
    return f"{before}: {', '.join(done) or 'nothing to do'}{after}"


def purge(table: Location) -> int:
    """Removes all data files but those of the newest version, and files that no version names; returns their number.

    Files that another run is writing would be removed, too. Raises WarehouseError where a file cannot be removed.
    """
    delta = open_delta(table)
    if delta is None:
        return 0
    try:
        stored, named = stored_files(table), data_files(delta)
        unused = [p for p in stored if p.endswith(".parquet") and not p.startswith(f"{LOG}/") and p not in named]
        with ThreadPoolExecutor(_PURGE_THREADS) as threads:
            list(threads.map(lambda path: table.filesystem.delete_file(table.child(path).path), unused))
    except (DeltaError, *STORE_ERRORS) as error:
        raise WarehouseError(f"old files of {table} cannot be removed ({reason(error)})") from None
    return len(unused)


def _check(table: Location, delta: DeltaTable) -> None:
    content = read_content(delta)
    if content.provenance is None and not content.oldest:
        raise WarehouseError(f"{table} was not written by this project (its commits carry no provenance)")
    check_files(table, delta, content)
    if feature := refused_feature(delta):
        raise WarehouseError(f"{table} has the table feature or property {feature}, with which files cannot be removed")
    if table.is_local and delta_uri(table) != table.uri:
        raise WarehouseError(f"{table} contains a character that delta-rs misreads (# ? % \\): rename the folder")


def _state(delta: DeltaTable) -> str:
    return f"version {delta.version()}, {_amount(data_files(delta).values())}"


def _amount(sizes: Collection[int]) -> str:
    return f"{len(sizes):,} files of {sum(sizes) / 1e6:,.1f} MB"


def _compact(delta: DeltaTable, settings: Maintenance, file_mb: int, dry_run: bool) -> list[str]:
    """Any two files of less than half of the target fit into one."""
    small = [n_bytes for n_bytes in data_files(delta).values() if 2 * n_bytes < file_mb << 20]
    if len(small) < settings.min_small_files:
        return []
    if dry_run:
        return [f"would compact {_amount(small)}"]
    done = delta.optimize.compact(target_size=file_mb << 20, writer_properties=_writer(delta))
    return [f"compacted {done['numFilesRemoved']:,} files into {done['numFilesAdded']:,}"]


def _writer(delta: DeltaTable) -> WriterProperties:
    """zstd, and row groups of about the size of those that workers write."""
    added = add_actions(delta)
    n_rows = sum(filter(None, added.column("num_records").to_pylist()))
    n_bytes = sum(pylist(added.column("size_bytes")))
    return WriterProperties(
        compression="ZSTD",
        compression_level=1,
        max_row_group_size=max(1, n_rows * _ROW_GROUP_BYTES // max(1, n_bytes)) if n_rows else None,
        column_properties=dict.fromkeys(("text", "raw"), _LONG),
    )


def _vacuum(
    delta: DeltaTable, stored: Mapping[str, int], retention_hours: int, keep: Sequence[int], dry_run: bool
) -> list[str]:
    """Removes what no kept version names and is older than the retention, including files of stopped runs."""
    if retention_hours > _TOMBSTONE_HOURS:
        keep = sorted({*keep, *_versions_since(delta, time.time() - 3600 * retention_hours)})
    vacuum = partial(
        delta.vacuum, retention_hours, enforce_retention_duration=False, full=True, keep_versions=list(keep)
    )
    # It also lists files that an earlier VACUUM removed, and would commit to the log each time.
    unused = [stored[path] for path in vacuum(dry_run=True) if path in stored]
    if unused and not dry_run:
        vacuum(dry_run=False)
    return [f"{'would remove' if dry_run else 'removed'} {_amount(unused)} that no kept version has"] if unused else []


def _remove_unfinished(table: Location, retention_hours: int, dry_run: bool) -> list[str]:
    """Removes files of the log that delta-rs had not given their names yet when its process was killed."""
    files = table.filesystem.get_file_info(fs.FileSelector(table.child(LOG).path))
    limit = time.time() - 3600 * retention_hours
    old = [file for file in files if _UNFINISHED.search(file.path) and (file.mtime_ns or 0) < limit * 1e9]
    for file in [] if dry_run else old:
        table.filesystem.delete_file(file.path)
    return [f"{'would remove' if dry_run else 'removed'} {len(old):,} unfinished files of the log"] if old else []


def _versions_since(delta: DeltaTable, seconds: float) -> list[int]:
    """The versions that were the newest at some time since then."""
    found = []
    for entry in delta.history():
        found.append(int(entry["version"]))
        if entry["timestamp"] < 1000 * seconds:
            break
    return found


def _checkpoint(delta: DeltaTable, stored: Collection[str], dry_run: bool) -> list[str]:
    newest = max((int(found[1]) for path in stored if (found := _CHECKPOINT.fullmatch(path))), default=-1)
    if delta.version() - newest < CHECKPOINT_COMMITS:
        return []
    if dry_run:
        return ["would write a checkpoint"]
    delta.create_checkpoint()
    return ["wrote a checkpoint"]
