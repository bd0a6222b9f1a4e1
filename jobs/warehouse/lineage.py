"""What made a Delta table's rows, told from the commits in its log."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

_SAME_ROWS = frozenset(
    {
        "ADD CONSTRAINT",
        "CHANGE COLUMN",
        "CLUSTER BY",
        "COMPUTE STATS",
        "DROP CONSTRAINT",
        "OPTIMIZE",
        "REORG",
        "SET TBLPROPERTIES",
        "UNSET TBLPROPERTIES",
        "UPGRADE PROTOCOL",
        "VACUUM END",
        "VACUUM START",
    }
)
"""Operations of Delta Lake and delta-rs that leave every row as it was."""


@dataclass(frozen=True)
class Recipe:
    """What made a table: recorded as JSON in the ``userMetadata`` of its Delta commit."""

    job: str
    code_version: str
    fingerprint: str
    """Of what follows and the code: the same fingerprint means the same table. Empty while its rows are unchecked."""
    settings: dict[str, Any]
    """``section.key`` to value, those that can change the result."""
    inputs: dict[str, int]
    """Version of each table that was read."""
    files: dict[str, str]
    """SHA-256 of the tokenizer, the lexicon, and the list of shards."""
    packages: dict[str, str] = field(default_factory=dict)
    """Versions of the libraries that shape the rows."""


class Commit(NamedTuple):
    """A commit as a table's history tells it."""

    version: int
    operation: str
    parameters: Mapping[str, str | None]
    user_metadata: str | None


@dataclass(frozen=True)
class Content:
    """Where a table stands."""

    newest: int
    """The newest version."""
    version: int
    """The version that has made the rows of the newest: OPTIMIZE and VACUUM leave them as they were."""
    recipe: Recipe | None
    """None where no commit in the log has one."""
    oldest: int
    """The first commit that was looked at; above 0 where the log is cut."""


def as_json(recipe: Recipe) -> str:
    """A commit's ``userMetadata``."""
    return json.dumps(asdict(recipe), ensure_ascii=False)


def read_content(commits: Iterable[Commit]) -> Content:
    """What made the newest rows.

    Args:
        commits: newest first, at least one.

    Returns:
        The newest recipe, and the version of the newest commit that changed rows: the recipe's own, or a change by
        hand after it. RESTORE gives back the version that it names; if it names none, the fingerprint is empty.
    """
    listed = list(commits)
    standing = _standing(listed)
    made = [(commit.version, recipe) for commit in standing if (recipe := _recipe(commit.user_metadata))]
    changed = [commit.version for commit in standing if commit.operation not in _SAME_ROWS]
    newest, oldest = listed[0].version, listed[-1].version
    if not made:
        return Content(newest, max(changed, default=newest), None, oldest)
    version, recipe = made[0]
    if any(commit.operation == "RESTORE" and commit.version > version for commit in standing):
        recipe = replace(recipe, fingerprint="")
    return Content(newest, max(version, *changed), recipe, oldest)


def _standing(commits: list[Commit]) -> list[Commit]:
    """Without the commits that a RESTORE to a version undid, and without that RESTORE."""
    standing, upto = [], commits[0].version
    for commit in commits:
        if commit.version > upto:
            continue
        restored = commit.parameters.get("version") if commit.operation == "RESTORE" else None
        if restored is None:
            standing.append(commit)
        else:
            upto = int(restored)
    return standing


def _recipe(user_metadata: str | None) -> Recipe | None:
    """Other tools' metadata is none of ours."""
    try:
        return Recipe(**json.loads(user_metadata)) if user_metadata else None
    except (ValueError, TypeError):
        return None
