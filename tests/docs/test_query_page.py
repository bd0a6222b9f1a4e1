"""Every code block of ``docs/query.md`` is run, and all engines give the same answers."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from small_corpus import SmallCorpus, rows_of

from jobs import query_tables
from jobs.warehouse.register_tables import register_tables
from jobs.warehouse.spark_tables import Warehouse
from pivot_udfs.schemas import STAGE_TABLES, table_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]
TEXT = (Path(__file__).parents[2] / "docs" / "query.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|sql)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
BLOCKS, (_, IN_A_CATALOG) = BLOCKS[:-1], BLOCKS[-1]
QUESTIONS = ("pivots", "documents", "pair")
Answers = list[list[tuple[Any, ...]]]


def rows(answer: Any) -> list[tuple[Any, ...]]:
    """An engine's rows as tuples: Arrow's, or sequences of cells."""
    if hasattr(answer, "__arrow_c_stream__"):
        answer = [row.values() for row in pa.table(answer).to_pylist()]
    return [tuple(list(cell) if isinstance(cell, list | tuple) else cell for cell in row) for row in answer]


def of_python(block: str, warehouse: str) -> Answers:
    found: dict[str, Any] = {}
    exec(block.replace("out/demo", warehouse), found)  # noqa: S102 - a page of this project
    return [rows(found[name]) for name in QUESTIONS]


@pytest.fixture(scope="module")
def spark_answers(spark: "SparkSession", corpus: SmallCorpus) -> Answers:
    queries = [text.replace("out/demo", f"{corpus.folder}/warehouse") for kind, text in BLOCKS if kind == "sql"]
    return [rows(spark.sql(query).collect()) for query in queries]


def test_every_question_has_an_answer(spark_answers: Answers) -> None:
    pivots, documents, pair = spark_answers
    assert 0 < len(pivots) <= 5
    assert len(documents) == 5
    assert all(score > 0 and n_concepts >= 1 and words for _, score, n_concepts, words in pivots)
    assert len(pair) == 1


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "python"])
def test_every_engine_gives_the_answers_of_spark(block: str, spark_answers: Answers, corpus: SmallCorpus) -> None:
    assert of_python(block, f"{corpus.folder}/warehouse") == spark_answers


def test_the_command_gives_the_answers_of_spark(
    spark_answers: Answers, corpus: SmallCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = next(text for kind, text in BLOCKS if kind == "sql" and "datasets/pivot" in text)
    sql = sql.replace("delta.`out/demo/datasets/pivot`", "datasets_pivot")
    assert query_tables.main(["--config", corpus.config, "--sql", sql, "--format", "json"]) == 0
    printed = [tuple(json.loads(line).values()) for line in capsys.readouterr().out.splitlines()]
    assert printed == spark_answers[1]
    assert query_tables.main(["--config", corpus.config, "--sql", "SELECT 'a\tb' AS x, NULL AS y"]) == 0
    assert capsys.readouterr().out == "x\ty\na\\tb\t\n"


def test_a_query_that_is_not_valid_is_an_error_of_the_user(
    corpus: SmallCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert query_tables.main(["--config", corpus.config, "--sql", "SELECT token FROM no_such_table"]) == 2
    assert "query_tables: ConfigError: --sql: " in (error := capsys.readouterr().err)
    assert "; tables: " in error
    assert "pair_pivots" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", ["pivots", "datasets/pivot"])
def test_spark_shows_what_a_table_is(name: str, spark: "SparkSession", corpus: SmallCorpus) -> None:
    place = f"delta.`{corpus.folder}/warehouse/{name}`"
    detail = spark.sql(f"DESCRIBE DETAIL {place}").collect()[0]
    assert detail["description"] == table_of(name).description
    assert detail["name"] == name


def test_tables_registered_in_a_catalog_are_found_by_name(spark: "SparkSession", corpus: SmallCorpus) -> None:
    try:
        for _ in range(2):
            register_tables(Warehouse(spark, str(corpus.warehouse)), [*STAGE_TABLES, "datasets/pivot"], "corpus")
        assert [row["token"] for row in spark.sql(IN_A_CATALOG).collect()] == [
            row["token"] for row in sorted(rows_of(corpus, "pivots"), key=lambda row: int(row["rank"]))[:10]
        ]
        assert {row["tableName"] for row in spark.sql("SHOW TABLES IN corpus").collect()} == {
            *STAGE_TABLES,
            "datasets_pivot",
        }
        detail = {row["col_name"]: row["data_type"] for row in spark.sql("DESCRIBE EXTENDED corpus.pivots").collect()}
        assert detail["Comment"] == table_of("pivots").description
    finally:
        spark.sql("DROP DATABASE IF EXISTS corpus CASCADE")
