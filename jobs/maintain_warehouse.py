"""Maintains the tables of a warehouse: small files compacted, unused ones removed, logs checkpointed; no row changes.

python jobs/maintain_warehouse.py --config conf/demo.toml [--set maintenance.retention_hours=240] [--dry-run]

It needs neither Spark nor Java. ``docs/maintenance.md`` says what it keeps.
"""

import sys
from collections.abc import Callable
from functools import partial

from pyarrow import fs

from jobs.framework.check_paths import check_folder
from jobs.framework.command_line import run_command
from jobs.framework.log_lines import clean, say
from jobs.framework.user_errors import user_error
from jobs.warehouse.delta.maintenance import maintain_table
from jobs.warehouse.delta.open_table import LOG
from jobs.warehouse.kept_versions import KeptVersions
from jobs.warehouse.run_marker import mark_in_use
from pivot_udfs.errors import TransientError, WarehouseError
from pivot_udfs.schemas import TABLES
from pivot_udfs.settings import Settings
from pivot_udfs.shards.list_shards import HIDDEN
from pivot_udfs.storage.list_files import list_folder
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.stores import STORE_ERRORS, resolve

NAME = "maintain_warehouse"
_NOT_COUNTED = " (data files stay until count_cooccurrence has counted the newest documents)"
_UPLOADS = "unfinished uploads are not looked for: let a lifecycle rule of the bucket remove them (docs/maintenance.md)"


def run(settings: Settings) -> None:
    """Maintains all tables and reports one line for each; a table with an error does not stop the others."""
    check_folder(settings.warehouse.path)
    with mark_in_use(resolve(settings.warehouse.path), NAME) as check_marker:
        _each_table(settings, say, False, check_marker)


def plan(settings: Settings) -> None:
    """Prints what ``run`` would do."""
    check_folder(settings.warehouse.path, writes=False)
    _each_table(settings, lambda line: sys.stdout.write(f"{clean(line)}\n"), True, lambda: None)


def _each_table(
    settings: Settings, report: Callable[[str], object], dry_run: bool, check_marker: Callable[[], None]
) -> None:
    root, errors = resolve(settings.warehouse.path), []
    kept = KeptVersions(root)
    for name in table_names(root):
        check_marker()
        try:
            report(f"{name}: {_maintain(root.child(name), name, settings, kept, dry_run)}")
        except WarehouseError as error:
            errors.append((f"{name}: {error}", user_error(error)))
    if root.scheme in ("s3", "gs"):
        report(f"{root}: {_UPLOADS}")
    if errors:
        passes = all(isinstance(error, TransientError) for _, error in errors)
        lines = [f"{len(errors)} tables of {root} were not maintained:", *(line for line, _ in errors)]
        raise (TransientError if passes else WarehouseError)(*lines)


def _maintain(table: Location, name: str, settings: Settings, kept: KeptVersions, dry_run: bool) -> str:
    limits, counted = settings.maintenance, name != "documents" or kept.is_counted()
    file_mb = limits.documents_file_mb if name == "documents" else limits.target_file_mb
    keep = kept.of(name) if counted else None
    return maintain_table(table, limits, file_mb, keep, dry_run) + ("" if counted else _NOT_COUNTED)


def table_names(root: Location) -> list[str]:
    """The project's tables that a warehouse has, ``datasets/<arm>`` last; raises WarehouseError where it has none."""
    try:
        datasets = list_folder(root.child("datasets"), HIDDEN)
        names = [*TABLES, *(f"datasets/{entry.location.name}" for entry in datasets)]
        logs = root.filesystem.get_file_info([root.child(name).child(LOG).path for name in names])
    except STORE_ERRORS as error:
        raise WarehouseError(f"{root} cannot be listed ({reason(error)})") from None
    found = [name for name, log in zip(names, logs, strict=True) if log.type == fs.FileType.Directory]
    if not found:
        raise WarehouseError(f"there are no tables at {root}: run rebuild_corpus first, or correct warehouse.path")
    return found


main = partial(run_command, NAME, __doc__, Settings, run, plan=plan)


if __name__ == "__main__":
    raise SystemExit(main())
