"""What made a table's rows, from the commits in its log."""

from dataclasses import replace

import pytest

from jobs.warehouse.lineage import Commit, Recipe, as_json, read_content

RECIPE = Recipe("tokenize_corpus", "0.1.0+abc", "f" * 64, {"corpus.inputs": ["a"]}, {}, {"shards": "0"})
OTHER = replace(RECIPE, fingerprint="e" * 64)


def log(*commits: tuple[str, Recipe | str | None] | str, start: int = 0) -> list[Commit]:
    """A history, newest first, of operations given from the oldest; ``RESTORE 3`` names a version."""
    pairs = [(commit, None) if isinstance(commit, str) else commit for commit in commits]
    listed = []
    for version, (operation, made) in enumerate(pairs, start):
        name, _, restored = operation.partition(":")
        said = as_json(made) if isinstance(made, Recipe) else made
        listed.append(Commit(version, name, {"version": restored or None}, said))
    return listed[::-1]


def test_a_written_table() -> None:
    content = read_content(log(("WRITE", OTHER), ("WRITE", RECIPE)))
    assert (content.newest, content.version, content.recipe, content.oldest) == (1, 1, RECIPE, 0)


@pytest.mark.parametrize("operation", ["OPTIMIZE", "VACUUM START", "SET TBLPROPERTIES"])
def test_upkeep_makes_no_new_rows(operation: str) -> None:
    content = read_content(log(("WRITE", OTHER), ("WRITE", RECIPE), operation, (operation, "nightly upkeep")))
    assert (content.newest, content.version, content.recipe) == (3, 1, RECIPE)


@pytest.mark.parametrize("operation", ["DELETE", "MERGE", "WRITE"])
def test_a_change_by_hand_makes_new_rows(operation: str) -> None:
    content = read_content(log(("WRITE", RECIPE), operation, "OPTIMIZE"))
    assert (content.newest, content.version, content.recipe) == (2, 1, RECIPE)


def test_restore_gives_back_the_rows_of_its_version() -> None:
    content = read_content(log(("WRITE", RECIPE), "OPTIMIZE", ("WRITE", OTHER), "RESTORE:1"))
    assert (content.newest, content.version, content.recipe) == (3, 0, RECIPE)
    content = read_content(log(("WRITE", RECIPE), ("WRITE", OTHER), "RESTORE:0", "DELETE"))
    assert (content.newest, content.version, content.recipe) == (3, 3, RECIPE)


def test_restore_by_time_leaves_the_rows_unchecked() -> None:
    content = read_content(log(("WRITE", RECIPE), ("WRITE", OTHER), "RESTORE"))
    assert (content.version, content.recipe) == (2, replace(OTHER, fingerprint=""))


def test_a_recipe_given_later_seals_the_rows() -> None:
    content = read_content(log(("WRITE", replace(RECIPE, fingerprint="")), ("SET TBLPROPERTIES", RECIPE)))
    assert (content.version, content.recipe) == (1, RECIPE)


@pytest.mark.parametrize("said", [None, "", "by hand", "[]", '{"job": "x"}'])
def test_foreign_commits_are_no_recipe(said: str | None) -> None:
    assert read_content(log(("WRITE", said))).recipe is None


def test_a_cut_log_is_told_from_a_foreign_one() -> None:
    assert read_content(log("OPTIMIZE", "OPTIMIZE", start=40)).oldest == 40
    assert read_content(log("WRITE")).oldest == 0


def test_recipes_of_earlier_releases_are_read() -> None:
    old = as_json(RECIPE).replace(', "packages": {}', "")
    assert "packages" not in old
    assert read_content(log(("WRITE", old))).recipe == RECIPE
