"""How large a table is, by its log."""

from typing import NamedTuple

import pyarrow as pa

from jobs.warehouse.tables import Warehouse


class TableSize(NamedTuple):
    """A table as a whole, not only what a run has added to it."""

    version: int
    """That made its rows."""
    rows: int
    bytes: int
    files: int


def table_size(warehouse: Warehouse, name: str) -> TableSize | None:
    """The size of a table as this run found or made it; None where there is no table."""
    content, delta = warehouse.content(name), warehouse.opened(name)
    if content is None or delta is None:
        return None
    files = pa.table(delta.get_add_actions(flatten=True))
    n_rows, n_bytes = (sum(files.column(column).to_pylist()) for column in ("num_records", "size_bytes"))
    return TableSize(content.version, n_rows, n_bytes, files.num_rows)
