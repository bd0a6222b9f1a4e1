"""Tables say in their metadata what they and their columns are."""

from pathlib import Path
from typing import Any, cast

import pytest
from deltalake import DeltaTable

from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import TABLES, table_of


@pytest.mark.parametrize("name", [*TABLES, "datasets/pivot"])
def test_a_table_has_its_description_and_comments(name: str, tmp_path: Path) -> None:
    warehouse = Warehouse(cast(Any, None), str(tmp_path))
    warehouse.commit_rows(name, [], Provenance("a_job", 1))
    table = DeltaTable(tmp_path / name)
    assert table.metadata().name == name
    assert table.metadata().description == table_of(name).description
    comments = {field.name: field.metadata["comment"] for field in table.schema().fields}
    assert comments == {field.name: field.metadata[b"comment"].decode() for field in table_of(name).schema}
