"""What made a table's newest rows, read from its log through delta-rs, for the corpus side and the model side."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pivot_udfs.errors import DamagedTableError, WarehouseError
from pivot_udfs.load_settings import fingerprint
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.storage.redact import printable, reason
from pivot_udfs.storage.stores import STORE_ERRORS

FILES_AFTER = "semanticPivotsFiles"
"""Key of a commit: ``hash_of_paths`` of the data files after it; where its end was cut, the table has others."""
ROWS_AFTER = "semanticPivotsRows"
"""Key of a commit: the number of rows after it; where it has another one later, other tools' OPTIMIZE was cut."""
SAME_ROWS = "semanticPivotsSameRows"
"""Key of a commit that replaces files by others with the same rows: it is taken for an OPTIMIZE."""
TABLES_WITH = "semanticPivotsTables"
"""Key of a commit: the states of other tables that belong to this one, as JSON."""
VERSION = "semanticPivotsVersion"
"""Key of a commit: its version, which delta-rs only counts back from the newest commit that says what it did."""
_RECENT = 20
"""Commits of a log that are read at first."""
_SAME_ROWS = frozenset(
    {
        "ADD CONSTRAINT", "ADD FEATURE", "CHANGE COLUMN", "CLUSTER BY", "COMPUTE STATS", "DROP CONSTRAINT",
        "DROP FEATURE", "OPTIMIZE", "REORG", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "UPDATE FIELD METADATA",
        "UPDATE TABLE METADATA", "UPGRADE PROTOCOL", "VACUUM END", "VACUUM START",
    }
)  # fmt: skip
"""Operations of Delta Lake and delta-rs that do not change rows; FSCK does: it gives up the rows of missing files."""


class Commit(NamedTuple):
    """A commit in a table's log."""

    version: int
    operation: str
    parameters: Mapping[str, object]
    provenance: Provenance | None
    files: str | None = None
    """``hash_of_paths`` of the data files after it."""
    tables: Mapping[str, TableVersion] = MappingProxyType({})
    """The states of other tables that it recorded."""
    n_rows: int | None = None
    """The rows of the table after it."""

    def rows(self, table_id: str) -> TableVersion:
        """The identity of the rows that it made."""
        return TableVersion(table_id, self.version, self.provenance.recipe if self.provenance else "", self.files or "")


@dataclass(frozen=True)
class Content:
    """The state of a table."""

    id: str
    """Delta's table id."""
    newest: int
    """The newest version."""
    version: int
    """The version that made the rows of the newest: OPTIMIZE and VACUUM do not change them."""
    provenance: Provenance | None
    """None where no commit in the log has one."""
    oldest: int
    """The first commit that was read; above 0 where the log was cleaned up."""
    exact: bool = True
    """False where another tool has changed rows since the commit with the provenance, or restored them to a time."""
    files: str | None = None
    """``hash_of_paths`` of the data files that the commit with the provenance left, where it recorded that."""
    tables: Mapping[str, TableVersion] = field(default_factory=dict)
    """The states of other tables that belong to these rows."""
    n_rows: int | None = None
    """How many they are, where the commit with the provenance recorded that."""

    @property
    def rows(self) -> TableVersion:
        """The identity of the rows, for the provenance of what is made from them."""
        if not self.provenance or not self.exact:
            return TableVersion(self.id, self.version, "")
        return TableVersion(self.id, self.version, self.provenance.recipe, self.files or "")


def hash_of_paths(paths: Iterable[str]) -> str:
    """Identifies a set of data files by their names, each of which is unique."""
    return fingerprint(sorted(paths))[:16]


def read_content(delta: DeltaTable, version: int | None = None) -> Content:
    """What made the rows of a table, opened at its newest version, at a version (None: the newest).

    Its provenance is that of the newest commit that has one, up to this version.
    """
    newest, limit = int(delta.version()), _RECENT
    version = newest if version is None else version
    while True:
        commits = commits_of(delta, newest - version + limit)
        content = content_of(str(delta.metadata().id), version, [c for c in commits if c.version <= version])
        if content.provenance or len(commits) < newest - version + limit:
            return content
        limit *= 8


def commits_of(delta: DeltaTable, limit: int | None = None) -> list[Commit]:
    """The newest commits of a table, newest first; one that does not say what it did has no operation.

    Raises WarehouseError, DamagedTableError where one is damaged.
    """
    try:
        history = delta.history(limit)
    except (DeltaError, *STORE_ERRORS) as error:
        kind = DamagedTableError if isinstance(error, DeltaError) else WarehouseError
        raise kind(f"the log of {printable(delta.table_uri)} cannot be read ({reason(error)})") from None
    commits: list[Commit] = []
    version = int(delta.version())
    for entry in history:
        made = int(entry.get(VERSION, version))
        commits += [Commit(unknown, "", {}, None) for unknown in range(version, made, -1)]
        tables, n_rows = json.loads(entry.get(TABLES_WITH) or "{}"), entry.get(ROWS_AFTER)
        commits.append(
            Commit(
                made,
                "OPTIMIZE" if SAME_ROWS in entry else entry.get("operation", ""),
                entry.get("operationParameters") or {},
                Provenance.from_json(entry.get("userMetadata")),
                entry.get(FILES_AFTER),
                {name: TableVersion(*state) for name, state in tables.items()},
                None if n_rows is None else int(n_rows),
            )
        )
        version = made - 1
    return commits


def has_files(commits: Sequence[Commit], version: int, paths: Iterable[str]) -> bool:
    """Whether a version has the data files that it had when it was committed, as far as its commit says that."""
    made = next((commit for commit in commits if commit.version == version), None)
    return made is None or (bool(made.operation) and made.files in (None, hash_of_paths(paths)))


def has_rows(commits: Sequence[Commit], version: int, n_rows: int | None) -> bool:
    """Whether so many rows (None: not known) are those that a version had, as far as its commit says that."""
    return n_rows is None or all(c.n_rows in (None, n_rows) for c in commits if c.version == version)


def changes_rows(commit: Commit) -> bool:
    """Whether a commit can have changed rows."""
    return commit.operation not in _SAME_ROWS


def has_lost(delta: DeltaTable, rows: TableVersion) -> bool:
    """Whether a table no longer has rows that it had: it was made anew, or its log lost their commit.

    Later commits take the numbers of lost ones.
    """
    if str(delta.metadata().id) != rows.id or int(delta.version()) < rows.version:
        return True
    content = read_content(delta, rows.version)
    return content.provenance is not None and content.rows != rows


def row_versions(delta: DeltaTable, fingerprint: str) -> list[TableVersion]:
    """The newest rows that were made with one provenance, the oldest first, without those that a RESTORE undid."""
    found: list[TableVersion] = []
    for commit in filter(changes_rows, _standing(commits_of(delta))):
        if commit.provenance is None or commit.provenance.fingerprint != fingerprint:
            break
        found.insert(0, commit.rows(str(delta.metadata().id)))
    return found


def commits_between(delta: DeltaTable, before: int, after: int) -> list[Commit] | None:
    """The commits that made the rows of one version from those of another, less those that a RESTORE undid.

    None where some are gone, or a RESTORE has undone the rows of ``before`` as well.
    """
    commits = [commit for commit in commits_of(delta) if commit.version <= after]
    standing = _standing(commits)
    if sum(commit.version > before for commit in commits) < after - before or all(
        commit.version != before for commit in standing
    ):
        return None
    return [commit for commit in standing if commit.version > before and changes_rows(commit)]


def rows_made_from(delta: DeltaTable, fingerprint: str) -> TableVersion | None:
    """The newest rows of a table whose provenance has a fingerprint."""
    for commit in commits_of(delta):
        if commit.provenance and commit.provenance.fingerprint == fingerprint:
            return commit.rows(str(delta.metadata().id))
    return None


def maintained_version(delta: DeltaTable, version: int, commits: Sequence[Commit] | None = None) -> int:
    """The newest version with the same rows as a version, after OPTIMIZE and the like, or a RESTORE of them.

    ``commits`` are those of ``commits_of``, where they have been read already.
    """
    made: dict[int, int] = {}
    for commit in reversed(commits or commits_of(delta)):
        before = _restored(commit)
        if before is None and not changes_rows(commit):
            before = commit.version - 1
        made[commit.version] = commit.version if before is None else made.get(before, before)
    same = made.get(version, version)
    return max((later for later, rows in made.items() if rows == same), default=version)


def content_of(table_id: str, version: int, commits: Sequence[Commit]) -> Content:
    """The state of a table at a version by its commits up to that version, newest first."""
    standing = _standing(commits)
    made = next((c for c in standing if c.provenance), None)
    changed = [c.version for c in standing if changes_rows(c)]
    oldest = commits[-1].version if commits else version + 1
    if made is None:
        return Content(table_id, version, max(changed, default=version), None, oldest)
    newest = max(made.version, *changed)
    exact = newest == made.version
    return Content(table_id, version, newest, made.provenance, oldest, exact, made.files, made.tables, made.n_rows)


def _standing(commits: Sequence[Commit]) -> list[Commit]:
    """Without the commits that a RESTORE to a version undid, and without that RESTORE."""
    standing, up_to = [], commits[0].version if commits else 0
    for commit in commits:
        if commit.version > up_to:
            continue
        restored = _restored(commit)
        if restored is None:
            standing.append(commit)
        else:
            up_to = restored
    return standing


def _restored(commit: Commit) -> int | None:
    """The version that a commit restored; None where it is no RESTORE to a version."""
    version = commit.parameters.get("version") if commit.operation == "RESTORE" else None
    return None if version is None else int(str(version))
