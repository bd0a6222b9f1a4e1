"""Shards of a folder that was emptied or unmounted are not taken for removed ones."""

import shutil
from pathlib import Path

import pytest
from changing_shards import changing_shards, rebuild
from local_frames import load_and_count, run_without_spark
from small_corpus import run_job

from jobs import rebuild_corpus
from jobs.loading.emptied_folders import check_emptied_folders
from pivot_udfs.errors import CorpusError


@pytest.mark.parametrize("left", ["in/a/b", "in/a", "in"])
def test_an_empty_folder_is_an_error(tmp_path: Path, left: str) -> None:
    (tmp_path / left).mkdir(parents=True)
    (tmp_path / left / "_SUCCESS").touch()
    shards = [f"{tmp_path}/in/a/b/{number}.jsonl" for number in range(3)]
    with pytest.raises(
        CorpusError, match=f"^{tmp_path}/{left} is empty, but 3 loaded shards lay in {tmp_path}/in/a/b: "
    ):
        check_emptied_folders([*shards, "s3://"])


def test_a_folder_with_other_files_or_that_was_removed_is_none(tmp_path: Path) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "other.jsonl").touch()
    check_emptied_folders(
        [f"{tmp_path}/in/a/gone.jsonl", f"{tmp_path}/in/b/gone.jsonl", f"file://{tmp_path}/in/c/x%E9"]
    )


@pytest.mark.parametrize("overrides", [(), ("corpus.max_document_bytes=5000",)])
def test_a_rebuild_removes_nothing_where_a_folder_was_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    load_and_count(monkeypatch)
    run_without_spark(monkeypatch)
    corpus, folder = changing_shards(tmp_path), tmp_path / "shards" / "mounted"
    folder.mkdir()
    for number in (1, 2, 3):
        (tmp_path / "shards" / f"{number}.jsonl").rename(folder / f"{number}.jsonl")
    rebuild(corpus)
    folder.rename(tmp_path / "elsewhere")
    folder.mkdir()
    code, _, errors = run_job(rebuild_corpus.main, corpus, *overrides)
    assert (code, f"{folder} is empty, but 3 loaded shards" in errors) == (2, True), errors
    shutil.rmtree(folder)
    assert "3 gone" in rebuild(corpus)
