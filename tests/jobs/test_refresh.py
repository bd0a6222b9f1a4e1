"""Between refreshes pivots and cuts stay, and scores and datasets follow the documents; a refresh decides them anew."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from changing_shards import (
    BATCHES,
    CHECKED,
    FEW_ARMS,
    Key,
    assert_as_without,
    forget,
    key_of,
    keys_of,
    killed_at_each_commit,
    rebuild,
    shards_with_pivots,
    stop_before_commit,
    table,
    write_keys,
    write_long_shard,
)
from deltalake import DeltaTable
from local_frames import load_and_count, run_without_spark
from small_corpus import SmallCorpus, must_work, rows_of, run_job

from jobs import count_cooccurrence, filter_documents, rebuild_corpus, score_documents, tokenize_corpus
from pivot_udfs.schemas import PINNED, STAGE_TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PINS = "refresh.rule=on_request"
ON_DRIFT = ("refresh.rule=on_drift", "refresh.max_drift=0.0")
APPENDED = ("document_scores", *(f"datasets/{arm}" for arm in FEW_ARMS))
EVERY = (*CHECKED, *PINNED, *APPENDED)
SHRINKAGE = 100


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
    return {name: DeltaTable(corpus.warehouse / name).version() for name in names}


def assert_equal(corpus: SmallCorpus, other: str, names: Sequence[str]) -> None:
    for name in names:
        ours, theirs = (table(corpus.folder / of, name) for of in ("warehouse", other))
        assert ours == theirs, name


def assert_as_from_nothing(corpus: SmallCorpus, *overrides: str) -> None:
    rebuild(corpus, f"warehouse.path={corpus.folder}/anew", *overrides)
    assert_equal(corpus, "anew", EVERY)


def assert_as_scored_and_cut_anew(corpus: SmallCorpus) -> None:
    """As where the pinned pivots and cuts are applied to all documents."""
    shutil.copytree(corpus.warehouse, corpus.folder / "applied")
    for job in (score_documents.main, filter_documents.main):
        must_work(run_job(job, corpus, PINS, f"warehouse.path={corpus.folder}/applied"))
    assert_equal(corpus, "applied", (*APPENDED, "selection_cuts"))
    shutil.rmtree(corpus.folder / "applied")


def assert_pivot_arm_follows_the_pinned_tables(corpus: SmallCorpus) -> None:
    """By plain loops over tokens, pinned pivots, densities and cuts; ties with a cut may be held or not."""
    pivots = {row["token_id"] for row in rows_of(corpus, "pivots")}
    cuts = {row["stratum"]: row for row in rows_of(corpus, "selection_cuts") if row["arm"] == "pivot"}
    held, tied = dict[tuple[str, int], bool](), set[tuple[str, int]]()
    for row in rows_of(corpus, "documents"):
        if row["lang"] in cuts:
            cut, n_pivots = cuts[row["lang"]], sum(token in pivots for token in row["token_ids"])
            density = (n_pivots + SHRINKAGE * cut["language_density"]) / (row["n_tokens"] + SHRINKAGE)
            place = row["shard"], row["record"]
            held[place] = cut["value"] is None or 1 - density < cut["value"]
            tied |= {place} if 1 - density == cut["value"] else set()
    found = {(row["shard"], row["record"]) for row in rows_of(corpus, "datasets/pivot")}
    assert found - tied == {place for place, is_held in held.items() if is_held}
    assert len(tied) < len(found) < len(held)


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_spark_follows_changed_and_forgotten_documents_until_it_refreshes(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the end documents and counts are those of a rebuild from nothing on local frames.

    All documents of one source are among the forgotten ones: no table names it afterwards.
    """
    stages = rebuild_corpus.STAGES[:-1]
    load_and_count(monkeypatch)
    monkeypatch.setattr(rebuild_corpus, "STAGES", stages)
    monkeypatch.setattr(count_cooccurrence, "_STEP_BYTES", 1 << 30)
    corpus = shards_with_pivots(tmp_path)
    shard = corpus.folder / "shards" / "3.jsonl"
    lines = shard.read_text("utf-8").splitlines()
    of_web = [line.replace('"source": "', '"source": "web", "was": "') for line in lines[:12]]
    shard.write_text("\n".join([*lines, *of_web]), "utf-8")
    rebuild(corpus, PINS)
    change_shards(corpus.folder)
    log_text = rebuild(corpus, PINS, BATCHES)
    assert "drift: today's counts would change " in log_text
    assert "counts all documents" not in log_text
    release = rows_of(corpus, "releases")[-1]
    assert 0 < release["pivot_drift"] < 1
    missed = {arm: missed > 0 for arm, missed in release["budget_missed"]}
    assert missed == {arm: arm != "lexicon_swap" for arm in FEW_ARMS}
    assert any("/web/" in row["stratum"] for row in rows_of(corpus, "selection_cuts"))
    keys = sorted({*keys_of(corpus, "0.jsonl")[:5], *map(key_of, of_web)})
    log_text = forget_keys(corpus, keys)
    for name in (*STAGE_TABLES, *APPENDED):
        values = {value for row in rows_of(corpus, name) for value in row.values() if isinstance(value, str)}
        assert not [value for value in values if value == "web" or "/web/" in value], name
    assert "cuts of sources that have lost their last document" in log_text
    assert "refresh: " not in log_text
    assert_as_scored_and_cut_anew(corpus)
    assert_pivot_arm_follows_the_pinned_tables(corpus)
    assert "refresh: it was requested" in refresh(corpus, PINS)
    assert_pivot_arm_follows_the_pinned_tables(corpus)
    monkeypatch.setattr(rebuild_corpus, "STAGES", stages[:2])
    run_without_spark(monkeypatch)
    assert_as_without(corpus, keys)


def test_between_refreshes_scores_and_datasets_follow_the_documents(with_pivots: SmallCorpus) -> None:
    before = versions(with_pivots)
    assert "no table has changed" in rebuild(with_pivots, PINS)
    assert versions(with_pivots) == before
    members = {name: table(with_pivots.warehouse, name) for name in APPENDED}
    change_shards(with_pivots.folder)
    log_text = rebuild(with_pivots, PINS)
    assert "drift: today's counts would change " in log_text
    assert "refresh: " not in log_text
    after = versions(with_pivots)
    assert {name: after[name] - before[name] for name in (*PINNED, *APPENDED)} == {
        **dict.fromkeys(PINNED, 0),
        **dict.fromkeys(APPENDED, 1),
    }
    kept = {name: [row for row in found if "/0.jsonl" in row or "/3.jsonl" in row] for name, found in members.items()}
    for name, found in kept.items():
        assert found
        assert Counter(found) <= table(with_pivots.warehouse, name)
    assert_as_scored_and_cut_anew(with_pivots)
    for name in (*EVERY, "shards"):
        DeltaTable(with_pivots.warehouse / name).optimize.compact()
    before = versions(with_pivots)
    assert "no table has changed" in rebuild(with_pivots, PINS)
    assert versions(with_pivots) == before
    write_long_shard(with_pivots.folder, 3, seed=33, n_lines=20)
    rebuild(with_pivots, PINS)
    assert_as_scored_and_cut_anew(with_pivots)
    assert versions(with_pivots)["pivots"] == before["pivots"]
    assert "refresh: it was requested" in refresh(with_pivots, PINS)
    assert_as_from_nothing(with_pivots)


@pytest.mark.parametrize("rule", [(PINS,), ON_DRIFT])
def test_a_run_killed_at_any_commit_is_completed_by_the_next(
    with_pivots: SmallCorpus, monkeypatch: pytest.MonkeyPatch, rule: tuple[str, ...]
) -> None:
    """Killed before its first commit, then each time after one more commit."""
    change_shards(with_pivots.folder)
    for job in (tokenize_corpus.main, count_cooccurrence.main):
        must_work(run_job(job, with_pivots, *rule))
    n_commits = len((*APPENDED, "releases", *(() if rule == (PINS,) else PINNED)))
    for n_done in range(n_commits):
        with monkeypatch.context() as patch:
            stop_before_commit(patch, min(n_done, 1) + 1)
            code, _, errors = run_job(rebuild_corpus.main, with_pivots, *rule)
            assert code == 130, errors
    rebuild(with_pivots, *rule)
    if rule == (PINS,):
        assert_as_scored_and_cut_anew(with_pivots)
    else:
        assert_as_from_nothing(with_pivots)
    assert rows_of(with_pivots, "releases")[-1]["budget_missed"] is not None


def forget_keys(corpus: SmallCorpus, keys: Sequence[Key]) -> str:
    return must_work(forget(corpus, "--keys", write_keys(corpus, keys), overrides=[PINS]))


def keys_in(corpus: SmallCorpus, name: str) -> set[Key]:
    return {(row["source"], row["doc_id"]) for row in rows_of(corpus, name) if row["source"]}


def test_forgotten_documents_leave_every_table_between_refreshes(with_pivots: SmallCorpus) -> None:
    """No other document joins or leaves an arm; cuts stay, also of a language that is gone, but for a source's."""
    lang = rows_of(with_pivots, "documents")[0]["lang"]
    of_language = {(row["source"], row["doc_id"]) for row in rows_of(with_pivots, "documents") if row["lang"] == lang}
    keys = sorted({*sorted(keys_in(with_pivots, "datasets/pivot"))[:3], *of_language})
    cuts, pivots = rows_of(with_pivots, "selection_cuts"), versions(with_pivots)["pivots"]
    held = {name: table(with_pivots.warehouse, name) for name in APPENDED}
    assert "refresh: " not in forget_keys(with_pivots, keys)
    sources = {row["source"] for row in rows_of(with_pivots, "documents")}
    kept = [row for row in cuts if "/" not in row["stratum"] or row["stratum"].split("/")[1] in sources]
    assert {row["stratum"] for row in cuts} > {row["stratum"] for row in kept} >= {lang}
    assert rows_of(with_pivots, "selection_cuts") == kept
    assert versions(with_pivots)["pivots"] == pivots
    for name, rows in held.items():
        assert not keys_in(with_pivots, name) & set(keys)
        after = table(with_pivots.warehouse, name)
        assert after <= rows
        assert all(any(repr(doc_id) in row for _, doc_id in keys) for row in rows - after)
    assert_as_scored_and_cut_anew(with_pivots)
    assert "no table has changed" in rebuild(with_pivots, PINS)


@pytest.mark.parametrize("by", ["--keys", "--shards"])
def test_the_cuts_of_a_forgotten_source_are_removed_also_after_kills(
    with_pivots: SmallCorpus, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    write_long_shard(with_pivots.folder, 4, seed=40)
    shard = with_pivots.folder / "shards" / "4.jsonl"
    shard.write_text(shard.read_text("utf-8").replace('"source": "', '"source": "we/b", "was": "'), "utf-8")
    refresh(with_pivots, PINS)
    of_web = [row for row in rows_of(with_pivots, "selection_cuts") if "/we/b/" in row["stratum"]]
    others = [row for row in rows_of(with_pivots, "selection_cuts") if row not in of_web]
    assert of_web
    what = write_keys(with_pivots, keys_of(with_pivots, "4.jsonl")) if by == "--keys" else str(shard)
    if by == "--keys":
        killed_at_each_commit(monkeypatch, lambda: forget(with_pivots, by, what, overrides=[PINS]))
    else:
        must_work(forget(with_pivots, by, what, overrides=[PINS]))
    assert rows_of(with_pivots, "selection_cuts") == others
    assert_as_scored_and_cut_anew(with_pivots)


def test_a_drift_beyond_the_allowed_one_refreshes_in_the_same_run(with_pivots: SmallCorpus) -> None:
    write_long_shard(with_pivots.folder, 5, seed=50, n_lines=60)
    assert "drift: " in rebuild(with_pivots, PINS)
    assert "find_pivots: skipped" in rebuild(with_pivots, "refresh.rule=on_drift", "refresh.max_drift=1.0")
    assert "find_pivots: refresh: that is more than refresh.max_drift (0.0%)" in rebuild(with_pivots, *ON_DRIFT)
    before = versions(with_pivots)
    assert "find_pivots: skipped" in rebuild(with_pivots, *ON_DRIFT)
    assert versions(with_pivots) == before
    assert [row["pivot_drift"] > 0 for row in rows_of(with_pivots, "releases")] == [False, True, False]


def test_what_cannot_stay_is_decided_anew_and_the_reason_is_logged(with_pivots: SmallCorpus) -> None:
    reasons = {
        'selection.arms=["pivot", "random"]': "selection_cuts was made with settings selection.arms = ",
        "pivots.n_pivots=90": "pair_pivots was made with settings pivots.n_pivots = 150, now 90",
        "selection.share=0.2": "selection_cuts was made with settings selection.share = 0.3, now 0.2",
    }
    for override, why in reasons.items():
        code, _, log_text = run_job(rebuild_corpus.main, with_pivots, PINS, override, dry=True)
        assert (code, f"rebuild_corpus: refresh: {why}" in log_text) == (0, True), log_text
    write_long_shard(with_pivots.folder, 5, seed=50, n_lines=60)
    assert f"rebuild_corpus: refresh: {why}" in rebuild(with_pivots, PINS, override)
    assert_as_from_nothing(with_pivots, override)
    log_text = rebuild(with_pivots, PINS, override, "cooccurrence.window=20")
    assert "find_pivots: runs: pair_pivots was made with tables corpus_totals = " in log_text
    before = {name: table(with_pivots.warehouse, name) for name in EVERY}
    (file,) = DeltaTable(with_pivots.warehouse / "pivots").file_uris()
    Path(file.removeprefix("file://")).unlink()
    assert "rebuild_corpus: refresh: table pivots: " in rebuild(with_pivots, PINS, override, "cooccurrence.window=20")
    assert {name: table(with_pivots.warehouse, name) for name in EVERY} == before
