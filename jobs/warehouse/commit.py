"""Commits Parquet files that workers wrote as the new content of a Delta table: one atomic transaction.

It goes through delta-rs, which takes files that are there already by a public interface; Delta Lake's own library has
one only inside the JVM, and reconstructs the table's state with Spark jobs around each commit, over a second a table.
"""

import time
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions
from pyspark.sql import Row

from pivot_udfs.errors import WarehouseError
from pivot_udfs.storage.stores import delta_options, delta_uri, resolve


def commit_files(uri: str, schema: pa.Schema, files: list[Row], user_metadata: str) -> int:
    """Makes ``files`` the whole content of the table at ``uri``, creating it where there is none.

    Args:
        uri: of the table's folder (``Location.uri``).
        schema: of the rows.
        files: rows of ``pivot_udfs.storage.write_parquet.FILES``; the files lie in the folder.
        user_metadata: of the commit.

    Returns:
        the table's version after the commit.

    Raises:
        WarehouseError: another writer has replaced the table meanwhile.
    """
    table = resolve(uri)
    place = delta_uri(table, for_commit=True)
    options = delta_options(place)
    wanted = Schema.from_arrow(pa.schema([field.with_nullable(True) for field in schema]))
    said = CommitProperties(custom_metadata={"userMetadata": user_metadata}, max_commit_retries=0)
    now = int(time.time() * 1000)
    actions = [AddAction(file["path"], file["n_bytes"], {}, now, True, file["stats"]) for file in files]
    try:
        return _commit(place, wanted, actions, said, options)
    except DeltaError as error:
        if isinstance(error, CommitFailedError) or "already exists" in str(error):
            raise written_by_another(str(table), str(error)) from None
        raise


def written_by_another(place: str, reason: str) -> WarehouseError:
    """The error of a commit that came too late."""
    return WarehouseError(
        f"another run has written {place} meanwhile ({reason[:200].splitlines()[0]}): nothing of this run went into "
        "it; wait until the other has ended, then run this again"
    )


def _commit(place: str, schema: Schema, actions: list[AddAction], said: CommitProperties, options: Any) -> int:
    if DeltaTable.is_deltatable(place, storage_options=options):
        table = DeltaTable(place, storage_options=options)
        version = int(table.version()) + 1  # it is this one or, without retries, an error
        table.create_write_transaction([*actions], "overwrite", schema, [], commit_properties=said)
        return version
    create_table_with_add_actions(place, schema, actions, "error", [], storage_options=options, commit_properties=said)
    return 0
