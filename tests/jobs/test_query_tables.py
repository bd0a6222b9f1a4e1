"""Queries over the tables of a release: what they print, and what is refused."""

import json
from pathlib import Path

import pytest
from small_release import small_release

from jobs import query_tables


def test_a_dry_run_of_a_query_checks_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_release(tmp_path)
    asked = ["--config", str(tmp_path / "run.toml"), "--dry-run", "--sql"]
    assert query_tables.main([*asked, "SELECT lang, count(*) AS n FROM datasets_pivot GROUP BY lang"]) == 0
    assert capsys.readouterr().out.endswith("\nwould print the columns lang, n\n")
    for sql, message in (("SELECT no FROM datasets_pivot", "No field named no"), ("SELEC 1", "--sql: ")):
        assert query_tables.main([*asked, sql]) == 2
        assert message in capsys.readouterr().err


def answer(folder: Path, sql: str, *arguments: str) -> int:
    return query_tables.main(["--config", str(folder / "run.toml"), "--sql", sql, *arguments])


def test_a_query_prints_every_value_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_release(tmp_path)
    sql = (
        "-- of one row\nSELECT 'https://a/?id=5' AS id, 'a\tb\x1b' AS t, arrow_cast('r\xe9', 'Binary') AS raw,"
        " 0.0 / 0.0 AS ratio, NULL AS nothing"
    )
    assert answer(tmp_path, sql) == 0
    assert capsys.readouterr().out == "id\tt\traw\tratio\tnothing\nhttps://a/?id=5\ta\\tb\\x1b\tr\xe9\tnan\t\n"
    assert answer(tmp_path, sql, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found == {"id": "https://a/?id=5", "t": "a\tb\x1b", "raw": "r\xe9", "ratio": None, "nothing": None}


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT a.source, b.source FROM datasets_pivot a, datasets_pivot b", "several columns are named source"),
        ("COPY (SELECT 1) TO '{folder}/written.csv'", "only queries that read"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/written.csv'", "only queries that read"),
        ("/* SELECT */ DROP TABLE datasets_pivot", "only queries that read"),
        ("", "only queries that read"),
    ],
)
def test_a_query_that_writes_or_would_lose_columns_is_refused(
    sql: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_release(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert answer(tmp_path, sql.format(folder=tmp_path)) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("number", ["", "-1", "1.0", "one"])
def test_a_release_that_is_no_number_is_refused(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_release(tmp_path)
    assert answer(tmp_path, "SELECT 1", "--release", number) == 2
    assert "warehouse.release = " in capsys.readouterr().err


def test_a_query_opens_the_tables_that_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_release(tmp_path)
    (tmp_path / "warehouse" / "shards" / "_delta_log").mkdir(parents=True)
    (tmp_path / "warehouse" / "shards" / "_delta_log" / f"{0:020}.json").write_text("{", encoding="utf-8")
    assert answer(tmp_path, "SELECT count(*) AS n FROM datasets_pivot") == 0
    assert answer(tmp_path, "SELECT * FROM shards") == 2
    assert "the log of" in capsys.readouterr().err
    assert answer(tmp_path, "SELECT * FROM other") == 2
    assert "; tables: shards, releases, datasets_pivot" in capsys.readouterr().err
