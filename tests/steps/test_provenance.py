"""The provenance record: what is compared, how a difference is worded, and the stored form."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.provenance import Provenance, TableVersion, difference

DOCUMENTS = TableVersion("3f2a9c1b-77e0", 4, "a" * 64, "f" * 16)
MADE = Provenance(
    job="count_cooccurrence",
    version=2,
    release="0.2.0",
    settings={"cooccurrence.window": 50, "lexicon.languages": ["en", "fr"], "lexicon.path": "/a/lexicon.tsv"},
    tables={"documents": DOCUMENTS},
    files={"lexicon": "b" * 64},
    packages={"regex": "2026.1"},
)
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"settings": MADE.settings | {"cooccurrence.window": 10}}, "settings cooccurrence.window = 50, now 10"),
    ({"settings": {}}, "settings cooccurrence.window = 50, now none"),
    (
        {"files": {"lexicon": "c" * 64}},
        f"another lexicon: the file's content has changed (SHA-256 {'b' * 12}, now {'c' * 12})",
    ),
    ({"files": {}}, f"files lexicon = {'b' * 12}, now none"),
    ({"files": MADE.files | {"tokenizer": "d" * 64}}, f"files tokenizer = none, now {'d' * 12}"),
    ({"packages": {"regex": "2026.2"}}, "packages regex = 2026.1, now 2026.2"),
    ({"packages": {**MADE.packages, "numpy": "2"}}, "packages numpy = none, now 2"),
    ({"version": 3}, "version 2 of count_cooccurrence, now 3"),
    ({"job": "find_pivots"}, "job count_cooccurrence, now find_pivots"),
    ({"tables": {"documents": DOCUMENTS._replace(version=5)}}, "tables documents = version 4, now version 5"),
    ({"tables": {"documents": DOCUMENTS._replace(id="99999999-0")}}, "now version 4 of a new table"),
    ({"tables": {"documents": DOCUMENTS._replace(fingerprint="d" * 64)}}, "now version 4 made with other settings"),
    ({"tables": {"documents": DOCUMENTS._replace(files="e" * 16)}}, "now version 4 with other rows"),
]


@pytest.mark.parametrize(("change", "worded"), CHANGES)
def test_every_change_of_an_input_is_a_difference(change: dict[str, Any], worded: str) -> None:
    now = replace(MADE, **change)
    assert worded in str(difference(MADE, now))
    assert now.fingerprint != MADE.fingerprint


@pytest.mark.parametrize(
    ("rows", "is_same"), [({"version": 5}, True), ({"id": "9"}, True), ({"fingerprint": "d"}, False)]
)
def test_of_tables_that_may_have_grown_only_the_recipe_is_compared(rows: dict[str, Any], is_same: bool) -> None:
    now = replace(MADE, tables={"documents": DOCUMENTS._replace(**rows)})
    assert (difference(MADE, now, same_rows=()) is None) == (MADE.recipe == now.recipe) == is_same
    assert difference(MADE, now, same_rows=("documents",))
    assert replace(MADE, tables={}).recipe == replace(MADE, tables={}).fingerprint


@pytest.mark.parametrize(
    "change", [{"release": "0.3.0"}, {"settings": MADE.settings | {"lexicon.path": "/b/words.tsv"}}]
)
def test_a_release_and_a_moved_file_are_no_difference(change: dict[str, Any]) -> None:
    now = replace(MADE, **change)
    assert difference(MADE, now) is None
    assert now.fingerprint == MADE.fingerprint


def test_the_stored_form_is_read_back() -> None:
    assert Provenance.from_json(MADE.to_json()) == MADE
    assert json.loads(MADE.to_json())["fingerprint"] == MADE.fingerprint
    assert json.loads(MADE.to_json())["tables"]["documents"]["id"] == DOCUMENTS.id


SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
SETTINGS = st.dictionaries(st.text(max_size=5), SCALAR | st.lists(SCALAR | st.lists(SCALAR, max_size=2), max_size=3))


@given(SETTINGS, SETTINGS)
def test_equal_fingerprints_mean_no_difference(some: dict[str, Any], other: dict[str, Any]) -> None:
    made, now = replace(MADE, settings=some), replace(MADE, settings=other)
    assert (difference(made, now) is None) == (made.fingerprint == now.fingerprint)
    stored = Provenance.from_json(made.to_json())
    assert stored is not None
    assert difference(stored, made) is None


def test_a_tuple_equals_the_list_that_json_makes_of_it() -> None:
    now = replace(MADE, settings=MADE.settings | {"lexicon.languages": ("en", "fr")})
    assert difference(MADE, now) is None


@pytest.mark.parametrize("text", [None, "", "by hand", "[]", "3", '{"job": "x"}', '{"job": "x", "tables": 3}'])
def test_other_text_is_no_record(text: str | None) -> None:
    assert Provenance.from_json(text) is None


def test_an_artefact_without_a_record_is_outdated() -> None:
    assert difference(None, MADE) == "something unknown (no provenance)"
