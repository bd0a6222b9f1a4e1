"""Forgetting gives the tables of a rebuild without what was forgotten, and later rebuilds keep it out."""

import json
from unittest.mock import Mock

import pyarrow.parquet as pq
import pytest
from changing_shards import (
    CHECKED,
    FEW_ARMS,
    assert_as_without,
    forget,
    keys_of,
    rebuild,
    table,
    write_keys,
    write_shard,
)
from deltalake import DeltaTable, write_deltalake
from small_corpus import SmallCorpus, must_work, run_job

from jobs import count_cooccurrence, rebuild_corpus, write_report
from jobs.forgetting import remove_records
from jobs.framework import run_stages, task_sizes
from jobs.gpu.common.read_tables import open_table
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance, TableVersion


def n_blocked(corpus: SmallCorpus) -> int:
    return sum(DeltaTable(corpus.warehouse / "shards").to_pyarrow_table()["n_blocked"].to_pylist())


def test_forgotten_keys_are_gone_and_a_rebuild_keeps_them_out(world: SmallCorpus) -> None:
    rebuild(world)
    keys = [*keys_of(world, "0.jsonl")[:3], keys_of(world, "1.jsonl")[0]]
    code, out, log_text = forget(world, "--keys", write_keys(world, [*keys, ("nowhere", "1")]))
    assert code == 0, log_text
    assert f"1 of {len(set(keys)) + 1} match no document: nowhere 1" in log_text
    assert "documents: versions from 0 to 1 (" in out
    _, _, log_text = forget(world, "--keys", write_keys(world, [*keys, ("nowhere", "2")]))
    n_keys = len(set(keys)) + 1
    assert f"{n_keys - 1} of {n_keys} were on the block list before" in log_text
    assert f"warning: 1 of {n_keys} match no document: nowhere 2" in log_text
    assert_as_without(world, keys)
    forgotten = n_blocked(world)
    assert forgotten >= len(keys)
    assert "count_cooccurrence: skipped" in rebuild(world)
    (world.folder / "shards" / "0.jsonl").write_bytes((world.folder / "shards" / "0.jsonl").read_bytes() + b"\n")
    rebuild(world)
    assert n_blocked(world) == forgotten
    rebuild(world, "corpus.max_document_bytes=5000")
    assert n_blocked(world) == forgotten
    assert_as_without(world, keys)


def test_only_forgotten_documents_are_counted(world: SmallCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuild(world)
    counted = []
    count = count_cooccurrence._count

    def recorded(*arguments: object) -> None:
        counted.append(arguments)
        count(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(count_cooccurrence, "_count", recorded)
    keys = keys_of(world, "2.jsonl")[:1]
    must_work(forget(world, "--keys", write_keys(world, keys)))
    [(_, changes, add, _)] = counted
    assert not changes.added  # type: ignore[attr-defined]
    assert add
    removed = [world.warehouse / "documents" / path for path in changes.removed]  # type: ignore[attr-defined]
    assert [tuple(row.values()) for row in pq.read_table(removed, columns=["source", "doc_id"]).to_pylist()] == keys
    assert_as_without(world, keys)


def test_forgotten_shards_are_gone_with_their_quarantine(world: SmallCorpus) -> None:
    rebuild(world)
    _, _, log_text = forget(world, "--shards", f"{world.folder}/shards/[13].jsonl", f"{world.folder}/shards/9.jsonl")
    assert "no loaded shard is named by" in log_text
    write_shard(world.folder, 9, seed=9)
    rebuild(world)
    assert_as_without(world, shards=["1.jsonl", "3.jsonl", "9.jsonl"])
    assert sum(table(world.warehouse, "quarantine").values()) == 0


def test_rejected_records_of_a_forgotten_source_are_gone_and_stay_out(world: SmallCorpus) -> None:
    path = world.folder / "shards" / "0.jsonl"
    bad = [{"source": "web", "id": "1", "text": " "}, {"source": "web", "id": "2", "text": "x" * 5000}]
    other = {"source": "other", "id": "3", "text": " "}
    with path.open("a", encoding="utf-8") as shard:
        shard.write("".join(f"\n{json.dumps(record)}" for record in (*bad, other)) + '\n{"source": "web", "text": "eau')
    rebuild(world)
    code, out, log_text = forget(world, "--sources", "web", "--purge")
    assert (code, "perhaps" in out) == (0, False), out + log_text

    def sources() -> list[str | None]:
        found = DeltaTable(world.warehouse / "quarantine").to_pyarrow_table()
        assert not [raw for raw in found["raw"].to_pylist() if b"web" in (raw or b"")]
        return sorted(found["source"].to_pylist())

    assert sources() == ["1", "1", "3", "3", "other"]
    assert n_blocked(world) == 3
    write_shard(world.folder, 6, seed=60)
    with path.open("a", encoding="utf-8") as shard:
        shard.write("\n")
    rebuild(world)
    assert sources() == ["1", "1", "3", "3", "other"]
    assert n_blocked(world) == 3


def test_tables_that_cannot_be_restored_are_left_to_a_rebuild(world: SmallCorpus) -> None:
    rebuild(world)
    DeltaTable(world.warehouse / "shards").delete("shard LIKE '%/1.jsonl'")
    keys = keys_of(world, "0.jsonl")[:1]
    code, _, errors = forget(world, "--keys", write_keys(world, keys))
    assert (code, "the tables cannot be restored: run rebuild_corpus" in errors) == (2, True), errors
    rebuild(world)
    assert_as_without(world, keys)


@pytest.mark.parametrize("is_loaded", [True, False])
def test_a_copy_of_a_forgotten_shard_under_another_path_stays_out(world: SmallCorpus, is_loaded: bool) -> None:
    old, new = world.folder / "shards" / "1.jsonl", world.folder / "shards" / "8.jsonl"
    if is_loaded:
        new.write_bytes(old.read_bytes())
    rebuild(world)
    must_work(forget(world, "--shards", str(old)))
    new.write_bytes(old.read_bytes())
    rebuild(world)
    assert "no table has changed" in rebuild(world)
    for name in ("documents", "quarantine"):
        assert not {str(new), str(old)} & set(
            DeltaTable(world.warehouse / name).to_pyarrow_table()["shard"].to_pylist()
        )
    assert n_blocked(world) == (0 if is_loaded else 6)
    new.write_bytes(old.read_bytes() + b"\n\n")
    rebuild(world)
    listed = set(DeltaTable(world.warehouse / "documents").to_pyarrow_table()["shard"].to_pylist())
    assert (str(new) in listed) == (not is_loaded)


def test_a_copy_of_a_forgotten_shard_of_rejected_records_stays_out(world: SmallCorpus) -> None:
    old, new = world.folder / "shards" / "7.jsonl", world.folder / "shards" / "8.jsonl"
    old.write_text("{\n[]\n", encoding="utf-8")
    rebuild(world)
    must_work(forget(world, "--shards", str(old)))
    old.rename(new)
    rebuild(world)
    assert not [row for row in table(world.warehouse, "quarantine") if str(new) in row]
    assert n_blocked(world) == 2


def test_a_glob_stands_for_the_sources_that_it_matches(world: SmallCorpus) -> None:
    rebuild(world)
    sources = sorted({source for number in range(4) for source, _ in keys_of(world, f"{number}.jsonl")})
    prefix = next(source for source in sources if not all(other[0] == source[0] for other in sources))[0]
    matched = {source for source in sources if source.startswith(prefix)}
    must_work(forget(world, "--sources", f"[{prefix}]*", "a name"))
    blocked = DeltaTable(world.warehouse / "blocked").to_pyarrow_table()["source"].to_pylist()
    assert set(blocked) == {*matched, "a name"}
    left = DeltaTable(world.warehouse / "documents").to_pyarrow_table()["source"].to_pylist()
    assert set(left) == {*sources} - matched
    code, _, errors = forget(world, "--sources", "nothing*")
    assert (code, "--sources nothing* matches no source" in errors) == (2, True), errors


def test_a_glob_also_stands_for_sources_of_which_every_record_was_rejected(world: SmallCorpus) -> None:
    with (world.folder / "shards" / "0.jsonl").open("a", encoding="utf-8") as shard:
        shard.write('\n{"source": "web-a", "id": "1", "text": " "}\n{"source": "web-b", "id": "2", "text": "eau"}')
    rebuild(world)
    assert sum("web" in row for row in table(world.warehouse, "quarantine")) == 1
    must_work(forget(world, "--sources", "web-*"))
    assert not [row for row in table(world.warehouse, "quarantine") if "web" in row]


def test_sources_are_named_to_the_letter_before_they_are_globs(world: SmallCorpus) -> None:
    with (world.folder / "shards" / "0.jsonl").open("a", encoding="utf-8") as shard:
        for k, source in enumerate(("a[b]", "ab", "a' OR ''='", "é", "e\u0301")):
            shard.write("\n" + json.dumps({"id": f"o{k}", "source": source, "text": "water eau"}))
    rebuild(world)
    code, _, log_text = forget(world, "--sources", "a[b]", "a' OR ''='", "e\u0301", "zz*", "nowhere")
    assert code == 0, log_text
    assert "warning: no loaded source is named by zz*\n" in log_text
    assert "3 documents of 1 shards are blocked" in log_text
    assert "1 of 4 match no document: nowhere\n" in log_text
    left = set(DeltaTable(world.warehouse / "documents").to_pyarrow_table()["source"].to_pylist())
    assert left >= {"ab", "é"}
    assert left.isdisjoint({"a[b]", "a' OR ''='", "e\u0301"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sources", ""], "--sources has an empty name"),
        (["--sources", "zz*"], "--sources zz* matches no source: nothing is forgotten"),
        (["--shards", "nowhere/*"], "--shards nowhere/* matches no shard: nothing is forgotten"),
    ],
)
def test_what_names_nothing_forgets_nothing(arguments: list[str], message: str, world: SmallCorpus) -> None:
    rebuild(world)
    code, _, log_text = forget(world, *arguments)
    assert (code, message in log_text) == (2, True), log_text
    assert not (world.warehouse / "blocked").exists()


def test_the_block_list_may_have_more_columns(world: SmallCorpus) -> None:
    rebuild(world)
    keys = keys_of(world, "0.jsonl")[:2]
    must_work(forget(world, "--keys", write_keys(world, keys[:1])))
    blocked = DeltaTable(world.warehouse / "blocked")
    rows = blocked.to_pyarrow_table()
    write_deltalake(blocked, rows.append_column("why", rows["source"]), mode="overwrite", schema_mode="overwrite")
    must_work(forget(world, "--keys", write_keys(world, keys[1:])))
    assert_as_without(world, keys)


def test_a_forgotten_source_stays_out_of_new_shards(world: SmallCorpus) -> None:
    """But for one that was made from the name of a shard, which is renamed: the run says so."""
    named, renamed = (world.folder / "shards" / f"{number}.jsonl" for number in (8, 9))
    named.write_text('{"id": "1", "text": "water eau"}', encoding="utf-8")
    rebuild(world)
    source = keys_of(world, "0.jsonl")[0][0]
    must_work(forget(world, "--sources", source, "8"))
    named.rename(renamed)
    write_shard(world.folder, 6, seed=60)
    log_text = rebuild(world)
    assert f"warning: records of 1 shards, such as {renamed}, were forgotten under keys made from another" in log_text
    shards = [path.name for path in (world.folder / "shards").iterdir() if path != renamed]
    keys = [key for shard in shards for key in keys_of(world, shard) if key[0] == source]
    assert any(key in keys for key in keys_of(world, "6.jsonl")) == (" blocked, " in log_text)
    assert_as_without(world, keys)


def test_a_dry_run_reports_and_changes_nothing_and_starts_spark_for_large_tables_alone(
    world: SmallCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(world)
    found, started = [], Mock(wraps=run_stages.start_session)
    for on_driver, starts in ((task_sizes.SHORT_COLUMNS_BYTES, Mock(side_effect=AssertionError)), (1, started)):
        monkeypatch.setattr(remove_records, "SHORT_COLUMNS_BYTES", on_driver)
        monkeypatch.setattr(run_stages, "start_session", starts)
        for what in (("--shards", f"{world.folder}/shards/[0-2].jsonl"), ("--sources", "*"), ("--sources", "n*", "s*")):
            code, out, log_text = forget(world, *what, dry=True)
            found.append((code, out, log_text.splitlines()[-1].partition("forget_documents: ")[2]))
    assert found[:3] == found[3:]
    assert started.called
    assert found[0][0] == 0
    assert "documents of 3 shards are blocked" in found[0][2]
    for dry in (True, False):
        code, _, errors = forget(world, "--shards", f"{world.folder}/shards", dry=dry)
        assert (code, "no document would be left" in errors) == (2, True)
    assert not (world.warehouse / "blocked").exists()


def test_an_empty_name_of_a_file_of_keys_is_an_error(world: SmallCorpus) -> None:
    code, _, errors = forget(world, "--keys", "")
    assert (code, "--keys  cannot be read" in errors) == (2, True)


def test_what_is_blocked_before_the_first_load_stays_out(world: SmallCorpus) -> None:
    keys = keys_of(world, "1.jsonl")[:2]
    must_work(forget(world, "--keys", write_keys(world, keys)))
    rebuild(world)
    assert_as_without(world, keys)


@pytest.mark.parametrize("field", ["id", "source"])
def test_other_keys_than_those_that_were_forgotten_are_refused(world: SmallCorpus, field: str) -> None:
    rebuild(world)
    other = f"corpus.fields.{field}="
    must_work(forget(world, "--keys", write_keys(world, keys_of(world, "0.jsonl")[:1])))
    code, _, errors = run_job(rebuild_corpus.main, world, other)
    assert (code, f"corpus.fields.{field} was '{field}' and is ''" in errors) == (2, True), errors
    rebuild(world)


def test_releases_that_hold_what_was_forgotten_are_not_read(world: SmallCorpus) -> None:
    rebuild(world)
    must_work(forget(world, "--keys", write_keys(world, [("nowhere", "1")])))
    assert open_table(str(world.warehouse), "documents", release=0).release == 0
    must_work(forget(world, "--keys", write_keys(world, keys_of(world, "0.jsonl")[:1])))
    assert open_table(str(world.warehouse), "documents").release == 2
    assert open_table(str(world.warehouse), "token_totals", release=0).release == 0
    with pytest.raises(WarehouseError, match=r"holds what was forgotten since: choose a newer release"):
        open_table(str(world.warehouse), "documents", release=0)
    assert run_job(write_report.main, world, "warehouse.release=0")[0] == 2


def test_purge_leaves_no_file_of_an_older_version_and_artefacts_are_named(world: SmallCorpus) -> None:
    rebuild(world)
    documents = world.warehouse / "documents"
    made = DeltaTable(documents)
    fingerprint = json.loads(made.history(1)[0]["userMetadata"])["fingerprint"]
    rows = TableVersion(str(made.metadata().id), 0, fingerprint)
    tree = json.loads(Provenance("pack_dataset", 1, tables={"documents": rows}).to_json())
    (world.folder / "packed").mkdir()
    (world.warehouse / "report_release_0.html").touch()
    (world.folder / "packed" / "manifest.json").write_text(json.dumps({"provenance": tree}), encoding="utf-8")
    keys = keys_of(world, "0.jsonl")[:1]
    arguments = ("--keys", write_keys(world, keys), "--purge", "--artefacts", str(world.folder / "packed"))
    code, out, log_text = forget(world, *arguments)
    assert code == 0, log_text
    assert f"{world.folder}/packed/manifest.json: made by pack_dataset from documents version 0" in out
    assert f"{world.warehouse}/report_release_0.html: the report of one release: remove it" in out
    assert "versions" not in out
    files = {str(path) for path in documents.glob("*.parquet")}
    assert files == {uri.removeprefix("file://") for uri in DeltaTable(documents).file_uris()}
    assert_as_without(world, keys)


def test_every_table_is_as_without_what_was_forgotten(with_pivots: SmallCorpus) -> None:
    keys = keys_of(with_pivots, "0.jsonl")[:20]
    must_work(forget(with_pivots, "--keys", write_keys(with_pivots, keys)))
    later = ("pair_pivots", "pivots", "document_scores", *(f"datasets/{arm}" for arm in FEW_ARMS))
    assert_as_without(with_pivots, keys, names=[*CHECKED, *later])
