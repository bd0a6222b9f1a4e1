"""Small tables whose rows the driver holds: it writes them itself, without a Spark job."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from jobs.warehouse.tables import Warehouse
from pivot_udfs.provenance import Provenance, TableVersion
from pivot_udfs.schemas import table_of
from pivot_udfs.storage.write_parquet import rows_of_table, step_to_files


def commit_rows(
    warehouse: Warehouse,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    provenance: Provenance,
    tables: Mapping[str, TableVersion] | None = None,
    removed: Collection[str] | None = None,
) -> None:
    """Adds rows to a table in one commit, which removes files (None: all); ``tables`` as for ``commit_files``."""
    schema = table_of(name).schema
    batches = iter([pa.RecordBatch.from_pylist(list(rows), schema=schema)] if rows else [])
    written = step_to_files(
        batches, partial(rows_of_table, table=name, schema=schema), {name: warehouse.location(name).uri}
    )
    files = [file for batch in written for file in batch.to_pylist()]
    warehouse.commit(name, files, provenance, removed, tables)
