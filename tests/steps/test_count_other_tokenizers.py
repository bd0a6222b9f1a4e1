"""Counts with tokenizers whose tokens are not byte lengths: normalizers, byte fallback, SentencePiece."""

from collections.abc import Callable
from pathlib import Path

import counted
import oracle
import pytest
import sentencepiece
import tokenizer_files
import tokenizers
from counted import Encoded, assert_same, batches_of, expected, plan_of
from hypothesis import given, settings
from hypothesis import strategies as st
from word_cases import TRAPS, WORDS

from pivot_udfs.tokenization.backends import TokenizerSpec, load_tokenizer

SLOW = [
    tokenizer_files.byte_level_nfc,
    tokenizer_files.byte_level_nfkc,
    tokenizer_files.byte_fallback,
    tokenizer_files.unigram,
    tokenizer_files.unigram_bytes,
]
NORMALIZED = ("token_sources",)
"""Whole words are those of the normalized text, which the oracle does not have."""
EXPANDED = [
    {"en": "ice", "fr": "ĳs", "zh": "㌔"},
    {"en": "half", "fr": "½", "zh": "社"},
    {"en": "water", "fr": "ﬁn", "zh": "㍿社"},
]
"""Words with characters that NFKC expands: one character may be several tokens, which all cover it."""


@pytest.mark.parametrize("make", SLOW)
def test_other_tokenizers(tmp_path: Path, make: Callable[[Path], str]) -> None:
    path = make(tmp_path)
    documents = [*TRAPS, ("mul", "water 水 eau"), ("fr", "le chat sauvage, l'eau ﬁn")]
    encoded = [(lang, text, by_the_library(path, text)) for lang, text in documents]
    for window in (1, 10, "document"):
        got = counted.counted(batches_of(encoded), plan_of(WORDS, load_tokenizer(path), window))
        assert_same(got, expected(encoded, WORDS, window), but=NORMALIZED)


def by_the_library(path: str, text: str) -> list[oracle.Token]:
    """The characters that each token covers by the library's own offsets, with two corrections.

    A space before the text covers nothing, and of bytes of unknown characters in a row, each belongs to one character.
    """
    reference = tokenizers.Tokenizer.from_file(path)
    reference.encode_special_tokens = True
    found = reference.encode(text, add_special_tokens=False)
    tokens = [oracle.Token(k, *span) for k, span in zip(found.ids, found.offsets, strict=True)]
    bytes_before: list[tuple[int, int]] = []
    for k, span in enumerate(found.offsets):
        if found.tokens[k].startswith("<0x"):
            characters = [n for n in range(*span) for _ in text[n].encode()]
            character = characters[bytes_before.count(span)]
            tokens[k] = oracle.Token(found.ids[k], character, character + 1)
            bytes_before.append(span)
    if tokens and found.tokens[0] in "▁Ġ" and not text.startswith(" "):
        tokens[0] = oracle.Token(found.ids[0], 0, 0)
    return tokens


@pytest.mark.parametrize("kind", ["##", "</w>", "WordLevel"])
def test_words_of_vocabularies_without_spaces_end_at_the_marks(tmp_path: Path, kind: str) -> None:
    documents = [*TRAPS, ("en", "The cat drank water from the river"), ("fr", "l'eau été")]
    path = tokenizer_files.marked_words(tmp_path, kind, [text for _, text in documents])
    encoded = [(lang, text, by_the_library(path, text)) for lang, text in documents]
    wanted = expected(encoded, WORDS, 10)
    assert sum(whole for whole, _ in wanted.token_sources.values()) > 100
    assert_same(counted.counted(batches_of(encoded), plan_of(WORDS, load_tokenizer(path), 10)), wanted)


@pytest.fixture(scope="module")
def expanding(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenizerSpec]:
    """Tokenizers that bring texts to NFKC."""
    folder = tmp_path_factory.mktemp("expanding")
    makes = (tokenizer_files.sentencepiece_model, tokenizer_files.byte_level_nfkc)
    return {make.__name__: load_tokenizer(make(folder)) for make in makes}


def with_expanding_tokenizer(spec: TokenizerSpec, text: str) -> Encoded:
    if spec.kind == "sentencepiece":
        processor = sentencepiece.SentencePieceProcessor(model_proto=spec.payload)
        names = [(k, processor.id_to_piece(k)) for k in processor.encode(text)]
        raw = [(k, bytes([int(name[3:5], 16)]) if processor.is_byte(k) else name.encode()) for k, name in names]
    else:
        vocabulary = oracle.byte_level_vocabulary(spec.payload.decode())
        ids = tokenizers.Tokenizer.from_buffer(spec.payload).encode(text, add_special_tokens=False).ids
        raw = [(k, vocabulary[k]) for k in ids]
    return "mul", text, oracle.normalized_tokens(text, raw)


@pytest.mark.parametrize("name", ["sentencepiece_model", "byte_level_nfkc"])
@given(
    words=st.lists(
        st.text("ĳs㌔½ﬁn社㍿x水", min_size=1, max_size=6) | st.sampled_from(["ĳs", "water", "㌔"]), max_size=8
    ),
    window=st.sampled_from([1, 2, 100, "document"]),
)
@settings(max_examples=60)
def test_all_tokens_of_an_expanded_character_belong_to_its_hit(
    expanding: dict[str, TokenizerSpec], name: str, words: list[str], window: int | str
) -> None:
    spec = expanding[name]
    documents = [with_expanding_tokenizer(spec, text) for text in (" ".join(words), "ĳs water ㌔")]
    got = counted.counted(batches_of(documents), plan_of(EXPANDED, spec, window))
    assert_same(got, expected(documents, EXPANDED, window), but=NORMALIZED)


def test_an_expanded_character_does_not_count_its_own_tokens(expanding: dict[str, TokenizerSpec]) -> None:
    spec = expanding["sentencepiece_model"]
    document = with_expanding_tokenizer(spec, "ĳs water ㌔")
    tables = counted.counted(batches_of([document]), plan_of(EXPANDED, spec, 1))
    places = [k for k, token in enumerate(document[2]) if token.start <= 0 < token.end or token.end == 10]
    before = [document[2][k - 1].token_id for k in places if k - 1 not in places]
    contexts = [(word, token) for _, word, token in tables.token_cooccurrence if word != "water"]
    assert sorted(contexts) == sorted(zip(["ĳs", "㌔"], before, strict=True))


def test_sentencepiece(tmp_path: Path) -> None:
    path = tokenizer_files.sentencepiece_model(tmp_path)
    processor = sentencepiece.SentencePieceProcessor(model_file=path)
    documents = []
    for lang, text in TRAPS:
        pieces = processor.encode(text, return_type="proto").pieces
        spans = [(piece.begin, piece.end) for piece in pieces]
        for k in reversed(range(len(spans) - 1)):  # byte pieces of one character: the library marks the last alone
            if pieces[k].piece.startswith("<0x") and spans[k][0] == spans[k][1]:
                spans[k] = spans[k + 1]
        char_of = [k for k, char in enumerate(text) for _ in char.encode()] + [len(text)]  # the spans are in bytes
        tokens = [oracle.Token(p.id, char_of[a], char_of[b]) for p, (a, b) in zip(pieces, spans, strict=True)]
        documents.append((lang, text, tokens))
    got = counted.counted(batches_of(documents), plan_of(WORDS, load_tokenizer(path), 10))
    assert_same(got, expected(documents, WORDS, 10))
