"""One thread for tiny models, as more only wait for each other, and words in tokens of a small vocabulary."""

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jobs.gpu.translation.word_tokens import WordTokens

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> "WordTokens":
    """The words of ``small_world.LEXICON`` in its tokens."""
    from small_world import write_tokenizer

    from jobs.gpu.translation.word_tokens import WordTokens
    from pivot_udfs.tokenization.backends import load_tokenizer

    return WordTokens(load_tokenizer(str(write_tokenizer(tmp_path_factory.mktemp("tokens") / "tokenizer.json"))))
