"""Tokenizer files of one module's tests."""

from pathlib import Path

import pytest
import tokenizer_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


@pytest.fixture(scope="module")
def byte_level(folder: Path) -> str:
    return tokenizer_files.byte_level(folder)
