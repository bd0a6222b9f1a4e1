"""What would stop a late stage is found before Spark starts, and by a dry run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from s3_server import make_bucket, put, s3_server

from jobs import (
    count_cooccurrence,
    describe_release,
    explain_document,
    explain_pivot,
    query_tables,
    rebuild_corpus,
)
from jobs.framework import run_stages

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a job on the samples into a new warehouse; fails where it starts Spark."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(run_stages, "start_session", lambda *_: pytest.fail("a session was started"))

    def run(*overrides: str, main: Callable[..., int] = rebuild_corpus.main, dry: bool = True) -> int:
        sets = (f"warehouse.path={tmp_path}/warehouse", 'spark.master="local[1]"', *overrides)
        argv = ["--config", "conf/demo.toml", *(part for each in sets for part in ("--set", each))]
        return main([*argv, "--dry-run"] if dry else argv)

    return run


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('lexicon.languages=["en", "nl"]', "has no column nl"),
        ("lexicon.path=tests/samples/tokenizer.json", "LexiconError: tests/samples/tokenizer.json"),
        ("tokenizer.path=tests/samples/lexicon.tsv", "TokenizerError: "),
    ],
)
def test_a_lexicon_or_tokenizer_that_cannot_be_used_is_refused(
    override: str, message: str, dry: bool, start: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(override, dry=dry) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("report.path=/proc/x/report.html", "report.path = /proc/x/report.html: /proc cannot be written"),
        ("report.path=tests/samples", "report.path = tests/samples: it is no regular file"),
        ('spark.conf={"spark.local.dir" = "/proc/x"}', "spark.local.dir = /proc/x: /proc cannot be written"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(
    override: str, message: str, dry: bool, start: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(override, dry=dry) == 2
    assert message in capsys.readouterr().err
    if "report" in override:
        assert start(override, main=count_cooccurrence.main) == 2
        assert message not in capsys.readouterr().err  # that job writes no report


def test_a_dry_run_warns_of_executors_with_less_memory_than_their_workers_budgets(
    start: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    of_cluster = 'spark.master="yarn"', "cooccurrence.memory_budget_mb=1024"
    for overhead, warned in (("1g", True), ("4g", False)):
        caplog.clear()
        conf = f'spark.conf={{"spark.executor.cores" = "4", "spark.executor.memoryOverhead" = "{overhead}"}}'
        assert start(*of_cluster, conf) == 0
        assert ("spark.executor.memoryOverhead is 1024 MB" in caplog.text) == warned


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (describe_release.main, [], "there is no release at "),
        (query_tables.main, ["--sql", "SELECT 1"], "there are no tables at "),
        (explain_document.main, ["--source", "s", "--id", "1"], "there is no table documents at "),
        (explain_document.main, ["--shard", "s", "--record", "1"], "there is no table documents at "),
        (explain_pivot.main, ["--token-id", "7"], "there is no table pivots at "),
    ],
)
def test_a_dry_run_without_the_tables_that_are_read_is_refused(
    main: Callable[..., int],
    arguments: list[str],
    message: str,
    start: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert start(main=lambda argv: main([*argv, *arguments])) == 2
    assert message in (error := capsys.readouterr().err)
    assert "run rebuild_corpus first, or correct warehouse.path" in error


def test_a_lexicon_in_a_store_is_read_first(
    start: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as address:
        bucket = make_bucket(address, __name__, monkeypatch)
        put(f"s3a://{bucket}/there.tsv", (ROOT / "tests" / "samples" / "lexicon.tsv").read_bytes())
        assert start(f"lexicon.path=s3a://{bucket}/there.tsv") == 0
        capsys.readouterr()
        for main in (rebuild_corpus.main, count_cooccurrence.main):
            for dry in (True, False):
                assert start(f"lexicon.path=s3a://{bucket}/missing.tsv", main=main, dry=dry) == 2
                assert f"lexicon.path = 's3a://{bucket}/missing.tsv' cannot be read" in capsys.readouterr().err
