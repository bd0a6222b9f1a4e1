"""Which tables may be read together."""

from typing import Any, NamedTuple

import pytest

from jobs.warehouse.lineage import Recipe
from jobs.warehouse.tables_together import check_together
from pivot_udfs.errors import WarehouseError


class Table(NamedTuple):
    version: int
    job: str
    fingerprint: str
    inputs: dict[str, int]


class Tables(dict[str, Table]):
    """A warehouse that knows only what made its tables."""

    def version(self, name: str) -> int | None:
        return self[name].version if name in self else None

    def recipe(self, name: str) -> Recipe | None:
        table = self.get(name)
        return Recipe(table.job, "", table.fingerprint, {}, table.inputs, {}) if table else None

    def table_path(self, name: str) -> str:
        return f"/w/{name}"


def rebuilt() -> Tables:
    return Tables(
        documents=Table(4, "tokenize_corpus", "t", {}),
        word_totals=Table(2, "count_cooccurrence", "c", {"documents": 4}),
        token_cooccurrence=Table(3, "count_cooccurrence", "c", {"documents": 4}),
        pivots=Table(7, "find_pivots", "p", {"word_totals": 2, "token_cooccurrence": 3}),
        document_scores=Table(1, "score_documents", "s", {"documents": 4, "pivots": 7}),
    )


def refused(tables: Tables, *read: str) -> str:
    warehouse: Any = tables
    with pytest.raises(WarehouseError) as error:
        check_together(warehouse, read)
    return str(error.value)


def test_tables_of_one_rebuild_go_together() -> None:
    tables: Any = rebuilt()
    check_together(tables, list(tables))
    del tables["token_cooccurrence"]
    check_together(tables, ["documents", "document_scores"])


def test_a_newer_input_is_refused() -> None:
    """Tokenizing anew and filtering by the old scores would join scores to other documents."""
    tables = rebuilt()
    tables["documents"] = tables["documents"]._replace(version=5, fingerprint="t2")
    told = refused(tables, "document_scores", "documents")
    assert "/w/word_totals version 2 was made from documents version 4, /w/documents version 5 is there now" in told
    assert "run count_cooccurrence again" in told
    for name in ("word_totals", "token_cooccurrence"):
        tables[name] = tables[name]._replace(inputs={"documents": 5})
    told = refused(tables, "documents", "document_scores")
    assert "/w/document_scores version 1 was made from documents version 4" in told


def test_a_newer_input_of_an_input_is_refused() -> None:
    tables = rebuilt()
    tables["word_totals"] = tables["word_totals"]._replace(version=9)
    assert "run find_pivots again" in refused(tables, "documents", "document_scores")


def test_runs_of_one_job_are_not_mixed() -> None:
    """A crash between the commits of counting leaves some tables new, some old."""
    tables = rebuilt()
    tables["token_cooccurrence"] = tables["token_cooccurrence"]._replace(version=4, fingerprint="c2")
    told = refused(tables, "word_totals", "token_cooccurrence")
    assert "/w/word_totals version 2 and /w/token_cooccurrence version 4 were made by different runs" in told
    assert "run count_cooccurrence again" in told
