"""Whether tables may be read together: one run of each job made them, from what the warehouse holds now."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pivot_udfs.errors import WarehouseError

if TYPE_CHECKING:
    from jobs.warehouse.tables import Warehouse


def check_together(warehouse: "Warehouse", tables: Sequence[str]) -> None:
    """Looks at the recipes alone.

    Args:
        warehouse: where the tables are.
        tables: that a stage reads, each with a recipe.

    Raises:
        WarehouseError: tables of one job are of different runs, or a table, or one that it was made from, was made
            from another version of a table than the newest.
    """
    seen: set[str] = set()
    for table in tables:
        _check_made_from_newest(warehouse, table, seen)
    first: dict[str, str] = {}
    for table in tables:
        recipe = warehouse.recipe(table)
        if recipe is None:
            continue
        other = first.setdefault(recipe.job, table)
        made = warehouse.recipe(other)
        if made is not None and made.fingerprint != recipe.fingerprint:
            raise WarehouseError(
                f"{_at_version(warehouse, other)} and {_at_version(warehouse, table)} were made by different runs of "
                f"{recipe.job}, one of which did not end: run {recipe.job} again (rebuild_corpus does)"
            )


def _check_made_from_newest(warehouse: "Warehouse", table: str, seen: set[str]) -> None:
    """A table's inputs first, so that the error names the first job to run."""
    recipe = warehouse.recipe(table)
    if table in seen or recipe is None:
        return
    seen.add(table)
    for name in recipe.inputs:
        _check_made_from_newest(warehouse, name, seen)
    for name, version in recipe.inputs.items():
        newest = warehouse.version(name)
        if newest is not None and newest != version:
            raise WarehouseError(
                f"{_at_version(warehouse, table)} was made from {name} version {version}, "
                f"{_at_version(warehouse, name)} is there now: run {recipe.job} again (rebuild_corpus does)"
            )


def _at_version(warehouse: "Warehouse", table: str) -> str:
    return f"{warehouse.table_path(table)} version {warehouse.version(table)}"
