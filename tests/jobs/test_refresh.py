"""Between refreshes pivots and cuts stay, and scores and datasets follow the documents; a refresh decides them anew."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from changing_shards import CHECKED, FEW_ARMS, rebuild, shards_with_pivots, stop_before_commit, table, write_long_shard
from deltalake import DeltaTable
from small_corpus import SmallCorpus, must_work, run_job

from jobs import (
    count_cooccurrence,
    filter_documents,
    forget_documents,
    rebuild_corpus,
    score_documents,
    tokenize_corpus,
)
from pivot_udfs.schemas import PINNED, STAGE_TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]
PINS = "refresh.rule=on_request"
ON_DRIFT = ("refresh.rule=on_drift", "refresh.max_drift=0.0")
APPENDED = ("document_scores", *(f"datasets/{arm}" for arm in FEW_ARMS))
EVERY = (*CHECKED, *PINNED, *APPENDED)
SHRINKAGE = 100


@pytest.fixture(scope="module")
def made(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> SmallCorpus:
    """A corpus of four shards that has been rebuilt once, and a copy of its folder beside it."""
    folder = tmp_path_factory.mktemp("refresh") / "corpus"
    folder.mkdir()
    corpus = shards_with_pivots(folder)
    with without_report():
        assert "refresh: pair_pivots is not there yet" in rebuild(corpus, PINS)
    shutil.copytree(folder, folder.with_name("copy"))
    return corpus


@pytest.fixture
def world(spark: "SparkSession", made: SmallCorpus) -> Iterator[SmallCorpus]:
    """That corpus, as it was rebuilt."""
    shutil.rmtree(made.folder)
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # type: ignore[union-attr]
    shutil.copytree(made.folder.with_name("copy"), made.folder)
    with without_report():
        yield made


@contextmanager
def without_report() -> Iterator[None]:
    """Rebuilds write no report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild_corpus, "STAGES", rebuild_corpus.STAGES[:-1])
        patch.setattr(rebuild_corpus, "_summary", lambda *_: "")
        yield


def change_shards(folder: Path) -> None:
    """One shard more, one changed, one gone, one touched."""
    write_long_shard(folder, 5, seed=50, n_lines=60)
    write_long_shard(folder, 1, seed=10, n_lines=40)
    (folder / "shards" / "2.jsonl").unlink()
    os.utime(folder / "shards" / "0.jsonl", ns=(1, 1))


def refresh(corpus: SmallCorpus, *overrides: str) -> str:
    return must_work(run_job(lambda argv: rebuild_corpus.main([*argv, "--refresh"]), corpus, *overrides))


def versions(corpus: SmallCorpus) -> dict[str, int]:
    names = (*STAGE_TABLES, *APPENDED, "releases")
    return {name: DeltaTable(corpus.folder / "warehouse" / name).version() for name in names}


def rows(corpus: SmallCorpus, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DeltaTable(corpus.folder / "warehouse" / name).to_pyarrow_table().to_pylist()
    return found


def assert_equal(corpus: SmallCorpus, other: str, names: Sequence[str]) -> None:
    for name in names:
        ours, theirs = (table(corpus.folder / of, name) for of in ("warehouse", other))
        assert ours == theirs, name


def assert_as_from_nothing(corpus: SmallCorpus, *overrides: str) -> None:
    rebuild(corpus, f"warehouse.path={corpus.folder}/anew", *overrides)
    assert_equal(corpus, "anew", EVERY)


def assert_as_scored_and_cut_anew(corpus: SmallCorpus) -> None:
    """As where the pinned pivots and cuts are applied to all documents."""
    shutil.copytree(corpus.folder / "warehouse", corpus.folder / "applied")
    for job in (score_documents.main, filter_documents.main):
        must_work(run_job(job, corpus, PINS, f"warehouse.path={corpus.folder}/applied"))
    assert_equal(corpus, "applied", (*APPENDED, "selection_cuts"))
    shutil.rmtree(corpus.folder / "applied")


def assert_pivot_arm_follows_the_pinned_tables(corpus: SmallCorpus) -> None:
    """By plain loops over tokens, pinned pivots, densities and cuts."""
    pivots = {row["token_id"] for row in rows(corpus, "pivots")}
    cuts = {row["stratum"]: row for row in rows(corpus, "selection_cuts") if row["arm"] == "pivot"}
    held = Counter[tuple[str, int]]()
    for row in rows(corpus, "documents"):
        if row["lang"] in cuts:
            cut, n_pivots = cuts[row["lang"]], sum(token in pivots for token in row["token_ids"])
            density = (n_pivots + SHRINKAGE * cut["language_density"]) / (row["n_tokens"] + SHRINKAGE)
            key = [row[name] for name in ("source", "doc_id", "shard", "record")]
            first = [cut[name] for name in ("value", "source", "doc_id", "shard", "record")]
            held[row["shard"], row["record"]] += cut["value"] is None or [1 - density, *key] < first
    found = {(row["shard"], row["record"]) for row in rows(corpus, "datasets/pivot")}
    assert found == {place for place, is_held in held.items() if is_held}
    assert 0 < len(found) < len(held)


def test_between_refreshes_scores_and_datasets_follow_the_documents(world: SmallCorpus) -> None:
    before = versions(world)
    assert "no table has changed" in rebuild(world, PINS)
    assert versions(world) == before
    members = {name: table(world.folder / "warehouse", name) for name in APPENDED}
    change_shards(world.folder)
    log_text = rebuild(world, PINS)
    assert "drift: today's counts would change " in log_text
    assert "refresh: " not in log_text
    after = versions(world)
    assert {name: after[name] - before[name] for name in (*PINNED, *APPENDED)} == {
        **dict.fromkeys(PINNED, 0),
        **dict.fromkeys(APPENDED, 1),
    }
    kept = {name: [row for row in found if "/0.jsonl" in row or "/3.jsonl" in row] for name, found in members.items()}
    for name, found in kept.items():
        assert found
        assert Counter(found) <= table(world.folder / "warehouse", name)
    assert_as_scored_and_cut_anew(world)
    assert_pivot_arm_follows_the_pinned_tables(world)
    release = max(rows(world, "releases"), key=lambda row: int(row["release"]))
    assert 0 < release["pivot_drift"] < 1
    missed = {arm: missed > 0 for arm, missed in release["budget_missed"]}
    assert missed == {arm: arm != "lexicon_swap" for arm in FEW_ARMS}
    for name in (*EVERY, "shards"):
        DeltaTable(world.folder / "warehouse" / name).optimize.compact()
    before = versions(world)
    assert "no table has changed" in rebuild(world, PINS)
    assert versions(world) == before
    write_long_shard(world.folder, 3, seed=33, n_lines=20)
    rebuild(world, PINS)
    assert_as_scored_and_cut_anew(world)
    assert versions(world)["pivots"] == before["pivots"]
    assert "refresh: it was requested" in refresh(world, PINS)
    assert_as_from_nothing(world)


@pytest.mark.parametrize("rule", [(PINS,), pytest.param(ON_DRIFT, marks=pytest.mark.nightly)])
def test_a_run_killed_at_any_commit_is_completed_by_the_next(
    world: SmallCorpus, monkeypatch: pytest.MonkeyPatch, rule: tuple[str, ...]
) -> None:
    change_shards(world.folder)
    for job in (tokenize_corpus.main, count_cooccurrence.main):
        must_work(run_job(job, world, *rule))
    n_commits = len((*APPENDED, "releases", *(() if rule == (PINS,) else PINNED)))
    for number in range(n_commits):
        with monkeypatch.context() as patch:
            stop_before_commit(patch, min(number + 1, 2))
            code, _, errors = run_job(rebuild_corpus.main, world, *rule)
            assert code == 130, errors
    rebuild(world, *rule)
    if rule == (PINS,):
        assert_as_scored_and_cut_anew(world)
    else:
        assert_as_from_nothing(world)
    assert rows(world, "releases")[-1]["budget_missed"] is not None


def forget(corpus: SmallCorpus, keys: Sequence[tuple[str, str]]) -> str:
    path = corpus.folder / "keys.tsv"
    path.write_text("".join(f"{source}\t{doc_id}\n" for source, doc_id in [("source", "doc_id"), *keys]), "utf-8")
    arguments = ["--keys", str(path)]
    return must_work(run_job(lambda argv: forget_documents.main([*argv, *arguments]), corpus, PINS))


def keys_in(corpus: SmallCorpus, name: str) -> set[tuple[str, str]]:
    return {(row["source"], row["doc_id"]) for row in rows(corpus, name) if row["source"]}


def test_forgotten_documents_leave_every_table_between_refreshes(world: SmallCorpus) -> None:
    before = versions(world)
    keys = sorted(keys_in(world, "datasets/pivot") - keys_in(world, "selection_cuts"))[:3]
    assert "refresh: " not in forget(world, keys)
    assert {name: versions(world)[name] for name in PINNED} == {name: before[name] for name in PINNED}
    for name in APPENDED:
        assert not keys_in(world, name) & set(keys)
    assert_as_scored_and_cut_anew(world)
    cut = min(keys_in(world, "selection_cuts"))
    assert "refresh: selection_cuts names a document that was forgotten" in forget(world, [cut])
    assert cut not in keys_in(world, "selection_cuts")
    assert "refresh: " not in rebuild(world, PINS)


def test_a_drift_beyond_the_allowed_one_refreshes_in_the_same_run(world: SmallCorpus) -> None:
    write_long_shard(world.folder, 5, seed=50, n_lines=60)
    assert "drift: " in rebuild(world, PINS)
    assert "find_pivots: skipped" in rebuild(world, "refresh.rule=on_drift", "refresh.max_drift=1.0")
    assert "find_pivots: refresh: that is more than refresh.max_drift (0.0%)" in rebuild(world, *ON_DRIFT)
    assert "find_pivots: skipped" in rebuild(world, *ON_DRIFT)
    assert_as_from_nothing(world)
    assert [row["pivot_drift"] > 0 for row in rows(world, "releases")] == [False, True, False]


def test_what_cannot_stay_is_decided_anew_and_the_reason_is_logged(world: SmallCorpus) -> None:
    reasons = {
        'selection.arms=["pivot", "random"]': "selection_cuts was made with settings selection.arms = ",
        "pivots.n_pivots=90": "pair_pivots was made with settings pivots.n_pivots = 150, now 90",
        "selection.share=0.2": "selection_cuts was made with settings selection.share = 0.3, now 0.2",
    }
    for override, why in reasons.items():
        code, _, log_text = run_job(rebuild_corpus.main, world, PINS, override, dry=True)
        assert (code, f"rebuild_corpus: refresh: {why}" in log_text) == (0, True), log_text
    write_long_shard(world.folder, 5, seed=50, n_lines=60)
    assert f"rebuild_corpus: refresh: {why}" in rebuild(world, PINS, override)
    assert_as_from_nothing(world, override)
    log_text = rebuild(world, PINS, override, "cooccurrence.window=20")
    assert "find_pivots: runs: pair_pivots was made with tables corpus_totals = " in log_text
    (file,) = DeltaTable(world.folder / "warehouse" / "pivots").file_uris()
    Path(file.removeprefix("file://")).unlink()
    assert "rebuild_corpus: refresh: table pivots: " in rebuild(world, PINS, override, "cooccurrence.window=20")
    assert_as_from_nothing(world, override, "cooccurrence.window=20")
