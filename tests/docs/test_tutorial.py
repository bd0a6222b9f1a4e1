"""Every command of ``docs/tutorial.md`` is run as it is written, with the installed wheel, outside of this checkout."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from installed_wheel import environment_without_checkout, install_wheel

pytestmark = [pytest.mark.spark, pytest.mark.timeout(1200)]
TEXT = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = "\n".join(re.findall(r"^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
FOLDERS = {"english", "french", "chinese"}


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which all commands were run one after the other, and what they printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    bin_folder = install_wheel(tmp_path_factory.mktemp("installed"))
    script = re.sub(r"^(python3 -m venv|pip install) .*$", "", COMMANDS, flags=re.MULTILINE)
    environment = environment_without_checkout()
    environment["PATH"] = f"{bin_folder}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4_000:]
    return folder, done.stdout


def test_the_dataset_is_a_part_of_the_texts(followed: tuple[Path, str]) -> None:
    folder, _ = followed
    rows = [json.loads(line) for line in (folder / "pivot.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["source"] for row in rows} == FOLDERS
    assert 0 < len(rows) < 450
    for row in rows:
        path = folder / "texts" / row["source"] / row["doc_id"]
        assert row["text"] == path.read_text(encoding="utf-8")


def test_the_explanation_says_why_the_document_is_in(followed: tuple[Path, str]) -> None:
    why = (followed[0] / "why.txt").read_text(encoding="utf-8")
    assert re.search(r"^  pivot: held; stratum fr; ", why, re.MULTILINE)
    assert why.startswith("document: source french, doc_id ")


def test_the_second_rebuild_reads_the_new_shard_only(followed: tuple[Path, str]) -> None:
    folder, output = followed
    assert "shards: 3 new" in output
    assert "shards: 1 new" in output
    summary = json.loads((folder / "warehouse" / "last_rebuild.json").read_text(encoding="utf-8"))
    assert (summary["release"], summary["tables"]["shards"]["rows"]) == (1, 4)
    assert (folder / "warehouse" / "report.html").is_file()
    assert (folder / "warehouse" / "descriptions" / "pivot" / "README.md").is_file()
