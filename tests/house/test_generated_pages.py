"""Pages and examples that are derived from the code agree with it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pivot_udfs.settings import Settings

ROOT = Path(__file__).parents[2]
REQUIRED = {"corpus.inputs", "warehouse.path", "tokenizer.path", "lexicon.path", "lexicon.languages"}


@pytest.mark.parametrize("name", ["generate_configuration", "generate_tables"])
def test_the_page_is_the_one_that_the_generator_writes(name: str) -> None:
    command = [sys.executable, ROOT / "docs" / f"{name}.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_key_of_the_corpus_side_has_a_meaning_on_the_page() -> None:
    rows = [line for line in (ROOT / "docs" / "configuration.md").read_text("utf-8").splitlines() if line[:3] == "| `"]
    sections = [field.annotation for field in Settings.model_fields.values()]
    keys = {key for section in sections for key in getattr(section, "model_fields", {})}
    assert len(rows) > len(keys)
    assert [row for row in rows if not row.rsplit("|", 2)[1].strip()] == []


def test_the_optional_keys_of_the_example_are_at_their_defaults() -> None:
    tree = tomllib.loads((ROOT / "conf" / "corpus.toml").read_text(encoding="utf-8"))
    del tree["spark"]
    given = {(table, key): value for table, keys in tree.items() for key, value in keys.items()}
    assert {f"{table}.{key}" for table, key in given} >= REQUIRED
    for (table, key), value in given.items():
        if f"{table}.{key}" not in REQUIRED:
            assert value == Settings.model_fields[table].annotation.model_fields[key].default, (table, key)  # type: ignore[union-attr]
