"""The smallest configuration of the corpus side, and settings loaded from a file of it."""

from pathlib import Path

from pivot_udfs.load_settings import load_settings
from pivot_udfs.settings import Settings

MINIMAL = """
[corpus]
inputs = "shards"
[warehouse]
path = "out"
[tokenizer]
path = "tokenizer.json"
[lexicon]
path = "lexicon.tsv"
languages = ["en", "fr"]
"""


def load(folder: Path, *overrides: str, text: str = MINIMAL) -> Settings:
    """The settings of a file with this text."""
    path = folder / "x.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(str(path), overrides, Settings)
