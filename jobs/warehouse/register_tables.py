"""Registers tables in Spark's catalog, where they are found by name; their files and logs stay where they are."""

from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.errors import WarehouseError


def register_tables(warehouse: Warehouse, names: Iterable[str], database: str) -> None:
    """Makes each table that is there known as ``<database>.<name>``, with ``_`` for ``/``.

    Raises WarehouseError where the catalog has another table of that name.
    """
    warehouse.spark.sql(f"CREATE DATABASE IF NOT EXISTS {database}")
    for name in names:
        if content := warehouse.content(name):
            known = f"{database}.{name.replace('/', '_')}"
            place = warehouse.location(name).hadoop_path
            literal = place.replace("\\", r"\\").replace("'", r"\'")
            warehouse.spark.sql(f"CREATE TABLE IF NOT EXISTS {known} USING delta LOCATION '{literal}'")
            ((there, table_id),) = warehouse.spark.sql(f"DESCRIBE DETAIL {known}").select("location", "id").collect()
            if (_path(there), table_id) != (_path(place), content.id):
                raise WarehouseError(
                    f"{known} is another table, at {there}: drop it, or choose another catalog.database"
                )


def _path(place: str) -> str:
    return unquote(urlsplit(place).path)
