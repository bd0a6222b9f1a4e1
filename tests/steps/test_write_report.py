"""The steps of the report, on files of counts."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pivot_udfs.schemas import TOKEN_COOCCURRENCE, WORD_COOCCURRENCE, WORD_TOTALS
from pivot_udfs.write_report import NEAR, WORD_ASSOCIATIONS, best_of_languages, counts_near, strongest_pairs

N_DOCS = 100
WORDS = {("zh", "水"): 5, ("en", "water"): 8, ("en", "ice"): 10, ("fr", "ICE"): 10, ("fr", "eau"): 8, ("en", "rain"): 0}


def written(folder: Path, files: dict[str, list[tuple[Any, ...]]], schema: pa.Schema) -> Any:
    """A batch with the names of files that are written to a folder."""
    for name, rows in files.items():
        records = [dict(zip(schema.names, row, strict=True)) for row in rows]
        pq.write_table(pa.Table.from_pylist(records, schema=schema), folder / name)
    return iter([pa.RecordBatch.from_pydict({"file": list(files)})])


def strongest(folder: Path, files: dict[str, list[tuple[Any, ...]]], n_best: int) -> list[tuple[Any, ...]]:
    totals = [dict(zip(WORD_TOTALS.names, (*word, n, n), strict=True)) for word, n in WORDS.items()]
    words = pa.Table.from_pylist(totals, schema=WORD_TOTALS)
    batches = written(folder, files, WORD_COOCCURRENCE)
    found = [*strongest_pairs(batches, str(folder), words, N_DOCS, min_doc_count=3, n_best=n_best)]
    best = best_of_languages(pa.Table.from_batches(found, WORD_ASSOCIATIONS), n_best)
    return [(row["word_a"], row["word_b"], row["npmi"]) for row in best.to_pylist()]


def npmi(both: int, a: int, b: int) -> Any:
    return pytest.approx(math.log(both * N_DOCS / (a * b)) / -math.log(both / N_DOCS))


def test_the_strongest_word_pairs_of_each_two_languages(tmp_path: Path) -> None:
    """Of all files; without pairs that are rare or have one surface, equal ones by their words."""
    files = {
        "a": [
            ("en", "water", "zh", "水", 9, 4),
            ("en", "ice", "zh", "水", 9, 2),
            ("en", "ice", "fr", "ICE", 9, 9),
            ("en", "water", "fr", "ICE", 9, 3),
            ("en", "water", "fr", "eau", 9, 5),
        ],
        "b": [("en", "ice", "fr", "eau", 9, 3), ("fr", "eau", "zh", "水", 9, 4)],
    }
    english = [("water", "eau", npmi(5, 8, 8)), ("ice", "eau", npmi(3, 10, 8)), ("water", "ICE", npmi(3, 8, 10))]
    others = [("water", "水", npmi(4, 8, 5)), ("eau", "水", npmi(4, 8, 5))]
    assert strongest(tmp_path, files, 3) == [*english, *others]
    assert strongest(tmp_path, files, 2) == [*english[:2], *others]
    assert strongest(tmp_path, {"c": []}, 2) == strongest(tmp_path, {}, 2) == []


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([(7, "en", "water"), (8, "zh", "水")], [(7, 3), (8, 6)]),
        ([(8, "en", "water")], [(8, 4)]),
        ([(9, "en", "water")], []),
        ([], []),
    ],
)
def test_counts_near_are_those_of_the_cells_alone(
    cells: Sequence[tuple[int, str, str]], expected: list[tuple[int, int]], tmp_path: Path
) -> None:
    of_cells = [("en", "water", 7, 9, 3), ("en", "water", 8, 9, 4), ("zh", "水", 7, 9, 5), ("zh", "水", 8, 9, 6)]
    batches = written(tmp_path, {"a": of_cells[:3], "b": of_cells[3:]}, TOKEN_COOCCURRENCE)
    kinds = {name: TOKEN_COOCCURRENCE.field(name).type for name in ("token_id", "lang", "word")}
    wanted = pa.Table.from_pylist([dict(zip(kinds, cell, strict=True)) for cell in cells], pa.schema(kinds))
    near = pa.Table.from_batches(counts_near(batches, str(tmp_path), wanted), NEAR)
    assert [(row["token_id"], row["doc_count"]) for row in near.to_pylist()] == expected
