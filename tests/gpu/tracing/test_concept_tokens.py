"""The first tokens of concepts, and the random concept beside each word."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from small_world import LEXICON, write_lexicon

from jobs.gpu.tracing.concept_tokens import ConceptTokens, concept_tokens
from jobs.gpu.translation.lexicon_concepts import Concept, read_concepts
from jobs.gpu.translation.word_tokens import WordTokens

pytestmark = pytest.mark.torch


def test_first_tokens_begin_the_word_and_cover_whole_characters(tokens: WordTokens, tmp_path: Path) -> None:
    concepts, _ = read_concepts(str(write_lexicon(tmp_path / "lexicon.tsv")), ["en", "fr", "zh"])
    found = concept_tokens(concepts, ["en", "fr", "zh"], tokens)
    for k, (en, fr, _, _) in enumerate(LEXICON):
        for word, firsts in ((en, found.firsts[0][k]), (fr, found.firsts[1][k])):
            assert len(firsts) <= 2
            assert all(word.startswith(tokens.texts[token].strip()) for token in firsts)
        assert found.firsts[2][k] == (), "the tokenizer writes Chinese in bytes"
    assert {tokens.texts[token] for token in found.firsts[0][0]} == {
        tokens.texts[tokens.ids(text)[0]] for text in ("water", " water")
    }


def test_whole_words_are_the_first_tokens_that_no_other_token_follows(tokens: WordTokens, tmp_path: Path) -> None:
    concepts, _ = read_concepts(str(write_lexicon(tmp_path / "lexicon.tsv")), ["en", "fr"])
    found, whole = concept_tokens(concepts, ["en", "fr"], tokens), 0
    for k, words in enumerate(LEXICON):
        for language in (0, 1):
            of_word = found.wholes[language][k]
            expected = {t for t in found.firsts[language][k] if tokens.texts[t].strip() == words[language]}
            assert set(of_word) == expected
            assert found.is_word(language, k) == bool(expected)
            whole += bool(expected)
    assert 0 < whole < 2 * len(LEXICON)
    assert not found.is_word(0, None)


def test_a_concept_without_a_word_has_no_tokens(tokens: WordTokens) -> None:
    found = concept_tokens([Concept(0, {"en": "cat"}, "", 0.0)], ["en", "fr"], tokens)
    assert found.firsts[1] == ((),)
    assert found.ids().tolist()[1] == [[-1, -1]]


def test_the_random_concept_is_another_one_with_tokens_in_the_same_languages_and_none_shared() -> None:
    firsts = (((1,), (2,), (1, 3), (), (4,)), ((5,), (), (6,), (7,), (8,)))
    found = ConceptTokens(("en", "fr"), firsts, (((), (2,), (3,), (), (4,)), ((), (), (), (), ())))
    assert {found.random_concept(0, str(seed)) for seed in range(40)} == {4}
    assert {found.random_concept(1, str(seed)) for seed in range(40)} == {2, 4}, "2 is a whole word, 1 is none"
    assert ConceptTokens(("en",), (((1,), (1,)),), (((), ()),)).random_concept(0, "seed") is None
    assert found.random_concept(1, "seed") == found.random_concept(1, "seed")
