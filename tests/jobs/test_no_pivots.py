"""Where there is no pivot, scoring stops and names every limit that may have excluded all."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobs import score_documents
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.setting_sections.pivot_and_selection_settings import Pivots


def test_an_empty_table_of_pivots_names_each_limit() -> None:
    empty = SimpleNamespace(to_pylist=list)
    warehouse = SimpleNamespace(read_small=lambda _: empty, table_path=lambda name: f"w/{name}")
    run = SimpleNamespace(warehouse=warehouse, settings=SimpleNamespace(pivots=Pivots(min_sources=3)))
    with pytest.raises(WarehouseError, match="w/pivots is empty") as caught:
        score_documents.run(cast(Any, run), Provenance("score_documents", 1))
    limits = [name for name in Pivots.model_fields if name.startswith(("min_", "max_"))]
    assert [name for name in limits if name not in str(caught.value)] == []
    assert "min_sources (3)" in str(caught.value)
