"""Lexicon words are the whole-word tokens that the oracle finds, and foreign ones those of another kind of script."""

import counted
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.counting.lexicon_words import count_lexicon_words, foreign_kinds, word_kinds
from pivot_udfs.counting.whole_words import word_shapes
from pivot_udfs.matching.lexicon import Lexicon
from pivot_udfs.tokenization.backends import TokenizerSpec

ROWS = [*counted.sample_rows(), {"en": "ok", "fr": "d\u2019accord", "zh": "ok", "ja": "OK"}]
FORMS = counted.forms_of(ROWS)
SPACED, UNSPACED = ("en", "fr"), ("zh", "ja")


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return counted.lexicon_of(ROWS)


def expected(lang: str, text: str, tokens: list[oracle.Token]) -> tuple[int, int]:
    """Words, and foreign ones."""
    own = SPACED if lang in SPACED else UNSPACED
    other = UNSPACED if lang in SPACED else SPACED if lang in UNSPACED else ()
    n_words = n_foreign = 0
    for k, token in enumerate(tokens):
        word = oracle.folded(text[token.start : token.end].removeprefix(" "))
        is_foreign = any(word in FORMS[of] for of in other) and not any(word in FORMS[of] for of in own)
        is_word = any(word in of for of in FORMS.values()) and oracle.is_whole_word(text, tokens, k)
        n_words, n_foreign = n_words + is_word, n_foreign + (is_word and is_foreign)
    return n_words, n_foreign


def check(documents: list[tuple[str, str]], tokenizer: TokenizerSpec, lexicon: Lexicon) -> list[tuple[int, int]]:
    encoded = counted.with_sample_tokenizer(documents)
    ids = np.array([token.token_id for _, _, tokens in encoded for token in tokens], np.int32)
    starts = np.cumsum([0, *(len(tokens) for _, _, tokens in encoded)])
    foreign = foreign_kinds(lexicon, [lang for lang, _ in documents])
    kinds, shapes = word_kinds(tokenizer, lexicon), word_shapes(tokenizer)
    n_words, n_foreign = count_lexicon_words(ids, starts, foreign, kinds, shapes)
    found = list(zip(n_words.tolist(), n_foreign.tolist(), strict=True))
    assert found == [expected(lang, text, list(tokens)) for lang, text, tokens in encoded]
    return found


def test_real_text(sample_tokenizer: TokenizerSpec, lexicon: Lexicon) -> None:
    texts = [(lang, text[:600]) for _, of in counted.sample_texts() for lang, text in of[:14]]
    found = check(texts, sample_tokenizer, lexicon)
    assert sum(n_foreign for _, n_foreign in found) > 20
    assert all(n_words >= n_foreign for n_words, n_foreign in found)
    assert sum(n_words for n_words, _ in found) > 200


PIECES = ["water", " water", "Water", "OK", " ok", "水", "人", "s", " ", "的 music", "中", "\u0301", "é", "_", "1"]


@given(
    documents=st.lists(
        st.tuples(st.sampled_from([*SPACED, *UNSPACED, "mul", "de"]), st.lists(st.sampled_from(PIECES)).map("".join)),
        max_size=5,
    )
)
def test_whole_words_and_those_of_the_other_kind_are_counted(
    documents: list[tuple[str, str]], sample_tokenizer: TokenizerSpec, lexicon: Lexicon
) -> None:
    check(documents, sample_tokenizer, lexicon)


def test_an_english_word_is_foreign_in_chinese_only(sample_tokenizer: TokenizerSpec, lexicon: Lexicon) -> None:
    texts = [(lang, "我喜欢 water 和 waters") for lang in ("zh", "ja", "en", "fr", "mul")]
    for (lang, text), wanted in zip(texts, (1, 1, 0, 0, 0), strict=True):
        ((_, n_foreign),) = check([(lang, text)], sample_tokenizer, lexicon)
        assert n_foreign == wanted, lang
