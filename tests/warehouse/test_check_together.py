"""Tables of different runs, or made from other rows than those that are there, are not read together."""

from dataclasses import replace

import pytest

from jobs.warehouse.check_together import check_together
from jobs.warehouse.delta.commit_history import Content
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import PINNED


class Tables(dict[str, Content]):
    """A warehouse that knows only the state of its tables."""

    def content(self, name: str) -> Content | None:
        return self.get(name)

    def table_path(self, name: str) -> str:
        return f"/w/{name}"

    def add(self, name: str, job: str, version: int, *inputs: str, settings: int = 0) -> None:
        """A table that was made from the tables that are there now."""
        tables = {read: self[read].rows for read in inputs}
        made = Provenance(job, 1, {"x": settings}, tables=tables)
        self[name] = Content(f"{name}-{version}", version, version, made, 0)


@pytest.fixture
def rebuilt() -> Tables:
    tables = Tables()
    tables.add("documents", "tokenize_corpus", 4)
    tables.add("word_totals", "count_cooccurrence", 2, "documents")
    tables.add("token_cooccurrence", "count_cooccurrence", 3, "documents")
    tables.add("pivots", "find_pivots", 7, "word_totals", "token_cooccurrence")
    tables.add("document_scores", "score_documents", 1, "documents", "pivots")
    return tables


def refused(tables: Tables, *read: str, pinned: tuple[str, ...] = ()) -> str:
    with pytest.raises(WarehouseError) as error:
        check_together(tables, read, pinned)
    return str(error.value)


def test_tables_of_one_rebuild_may_be_read_together(rebuilt: Tables) -> None:
    check_together(rebuilt, list(rebuilt))
    del rebuilt["token_cooccurrence"]
    check_together(rebuilt, ["documents", "document_scores"])


def test_a_newer_input_is_refused(rebuilt: Tables) -> None:
    """Scores joined to documents that were tokenized again would belong to other documents."""
    rebuilt.add("documents", "tokenize_corpus", 5, settings=1)
    message = refused(rebuilt, "document_scores", "documents")
    assert "/w/word_totals version 2 was made with tables documents = version 4, now version 5" in message
    assert "run count_cooccurrence again" in message
    for name in ("word_totals", "token_cooccurrence"):
        rebuilt.add(name, "count_cooccurrence", 6, "documents")
    assert "run find_pivots again" in refused(rebuilt, "documents", "document_scores")


def test_pinned_tables_may_be_older_than_what_they_were_made_from(rebuilt: Tables) -> None:
    rebuilt.add("selection_cuts", "filter_documents", 1, "document_scores", "pivots")
    for name in ("word_totals", "token_cooccurrence"):
        rebuilt.add(name, "count_cooccurrence", 6, "documents", settings=1)
    rebuilt.add("document_scores", "score_documents", 2, "documents", "pivots")
    rebuilt.add("datasets/pivot", "filter_documents", 2, "documents", "document_scores", "pivots", "selection_cuts")
    check_together(rebuilt, list(rebuilt))
    assert "run find_pivots again" in refused(rebuilt, "pivots", "word_totals")
    rebuilt.add("pivots", "find_pivots", 8, "word_totals", "token_cooccurrence")
    read = ("documents", "document_scores", "selection_cuts", "datasets/pivot")
    assert "run score_documents again" in refused(rebuilt, *read, pinned=PINNED)
    assert "run filter_documents again" in refused(rebuilt, "selection_cuts", pinned=PINNED)


def test_a_table_made_anew_at_the_same_version_is_another_input(rebuilt: Tables) -> None:
    rebuilt["documents"] = replace(rebuilt["documents"], id="another")
    assert "run count_cooccurrence again" in refused(rebuilt, "documents", "word_totals")


def test_runs_of_one_job_are_not_mixed(rebuilt: Tables) -> None:
    """A crash between the commits of counting leaves some tables new and some old."""
    rebuilt.add("token_cooccurrence", "count_cooccurrence", 4, "documents", settings=1)
    message = refused(rebuilt, "word_totals", "token_cooccurrence")
    assert "/w/word_totals version 2 and /w/token_cooccurrence version 4 were made by different runs" in message
    assert "run count_cooccurrence again" in message
