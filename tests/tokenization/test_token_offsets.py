"""Token spans are exact: a byte-level BPE's spell the text, the others hold each token's characters."""

import gzip
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tokenizer_files
from hypothesis import given, settings
from hypothesis import strategies as st

from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenization.backends import TokenizerSpec, encoder, load_tokenizer
from pivot_udfs.tokenization.equivalence_probe import first_difference
from pivot_udfs.tokenization.token_offsets import check_ids, positions_exact, taken_as_they_are, token_byte_spans
from pivot_udfs.tokenization.vocabulary import vocabulary

SAMPLES = Path(__file__).parents[1] / "samples"
ALL_KINDS = [
    tokenizer_files.byte_level,
    tokenizer_files.byte_level_nfc,
    tokenizer_files.byte_fallback,
    tokenizer_files.unigram,
    tokenizer_files.sentencepiece_model,
]
TEXT = st.text(st.sampled_from("the water l'eau水が飲ꙮ\n  e\u0301éﬁ🙂<|end>[mark]"), max_size=40)


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenizerSpec]:
    folder = tmp_path_factory.mktemp("tokenizers")
    return {make.__name__: load_tokenizer(make(folder)) for make in ALL_KINDS}


def spelled(spec: TokenizerSpec, text: str) -> list[str]:
    starts, ends = token_byte_spans(spec, text)
    raw = text.encode()
    return [raw[a:b].decode("utf-8", "replace") for a, b in zip(starts, ends, strict=True)]


@pytest.mark.parametrize("make", ALL_KINDS)
@given(text=TEXT)
@settings(max_examples=40)
def test_spans_lie_in_the_text_in_order(
    specs: dict[str, TokenizerSpec], make: Callable[[Path], str], text: str
) -> None:
    spec = specs[make.__name__]
    starts, ends = token_byte_spans(spec, text)
    ids, _ = encoder(spec)([text])
    assert (starts.dtype, ends.dtype) == (np.int64, np.int64)
    assert len(starts) == len(ends) == len(ids)
    assert np.all(starts <= ends)
    assert np.all(np.diff(starts) >= 0)
    assert not len(ends) or ends.max() <= len(text.encode())


@given(text=TEXT)
@settings(max_examples=60)
def test_byte_level_spans_are_the_tokens_bytes(specs: dict[str, TokenizerSpec], text: str) -> None:
    spec = specs["byte_level"]
    starts, ends = token_byte_spans(spec, text)
    ids, _ = encoder(spec)([text])
    raw, texts = text.encode(), vocabulary(spec).texts
    pieces = [raw[a:b] for a, b in zip(starts, ends, strict=True)]
    assert b"".join(pieces) == raw
    assert [piece.decode("utf-8", "backslashreplace") for piece in pieces] == [texts[k] for k in ids]


def test_a_normalizer_keeps_the_original_places(specs: dict[str, TokenizerSpec]) -> None:
    spec = specs["byte_level_nfc"]
    assert "".join(spelled(spec, "e\u0301te\u0301 water")).endswith(" water")
    pieces = spelled(spec, "水\u212b water")
    assert set(pieces[:2]) <= {"水", "\u212b"}
    assert "".join(pieces).endswith("\u212b water")


def test_texts_in_normal_form_have_positions_by_length(specs: dict[str, TokenizerSpec]) -> None:
    spec = specs["byte_level_nfc"]
    assert (vocabulary(spec).normal_form, vocabulary(specs["byte_level"]).normal_form) == ("NFC", None)
    assert vocabulary(spec).byte_lengths is not None
    assert taken_as_they_are(spec, ["été 水", "e\u0301te\u0301"]).tolist() == [True, False]
    assert taken_as_they_are(specs["byte_level"], ["e\u0301te\u0301"]).tolist() == [True]


def test_lengths_that_add_up_by_chance_are_not_believed(specs: dict[str, TokenizerSpec]) -> None:
    spec, grows, shrinks = specs["byte_level_nfc"], "\u0958", "e\u0301"
    text = f"{grows} water {shrinks * 3}"
    ids, _ = encoder(spec)([text])
    lengths = vocabulary(spec).byte_lengths
    assert lengths is not None
    assert lengths[ids].sum() == len(text.encode())
    assert " water" in spelled(spec, text)


def test_a_split_character_gives_its_whole_span_to_each(specs: dict[str, TokenizerSpec]) -> None:
    assert spelled(specs["sentencepiece_model"], "the ꙮ")[-3:] == ["ꙮ"] * 3
    assert spelled(specs["byte_fallback"], "the ꙮ")[-3:] == ["ꙮ"] * 3


@pytest.mark.parametrize("normalizer", [None, {"type": "NFKC"}])
def test_bytes_of_unknown_characters_in_a_row_cover_one_character_each(tmp_path: Path, normalizer: object) -> None:
    path = Path(tokenizer_files.unigram_bytes(tmp_path))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": normalizer}), encoding="utf-8")
    first, second = "\ua66e", "\u24d3"  # NFKC makes the second, a circled d, one byte
    text, expected = first + second + first, [first] * 3 + [second] * (1 if normalizer else 3) + [first] * 3
    assert spelled(load_tokenizer(str(path)), text)[-len(expected) :] == expected


@pytest.mark.parametrize("name", ["sentencepiece_model", "unigram", "byte_fallback"])
def test_the_space_put_before_a_text_covers_nothing(specs: dict[str, TokenizerSpec], name: str) -> None:
    texts = spelled(specs[name], "xx 水")
    assert "".join(texts) == "xx 水"
    assert texts[0] == ""


def test_spaces_that_are_dropped_before_a_text_move_nothing(specs: dict[str, TokenizerSpec]) -> None:
    texts = spelled(specs["sentencepiece_model"], "  xx 水")
    assert "".join(texts) == "xx 水"
    assert texts[0] == ""


def test_positions_exact_is_per_document(specs: dict[str, TokenizerSpec]) -> None:
    spec = specs["byte_level"]
    lengths = vocabulary(spec).byte_lengths
    assert lengths is not None
    ids, offsets = encoder(spec)(tokenizer_files.TEXTS)
    n_bytes = np.array([len(text.encode()) for text in tokenizer_files.TEXTS], np.int64)
    assert positions_exact(lengths, ids, offsets, n_bytes).tolist() == [True] * len(n_bytes)
    n_bytes[[0, 3]] += 1
    assert positions_exact(lengths, ids, offsets, n_bytes).tolist() == [False, True, True, False, True, True]
    assert positions_exact(lengths, ids[:0], offsets[:1], n_bytes[:0]).tolist() == []


def test_real_text_has_exact_positions_and_equal_ids() -> None:
    texts = [text for shard in sorted((SAMPLES / "shards").glob("*.gz")) for text in first_texts(shard, 25)]
    assert len(texts) == 125
    fast, slow = (load_tokenizer(str(SAMPLES / "tokenizer.json"), name) for name in ("byte_level", "tokenizers"))
    got, wanted = encoder(fast)(texts), encoder(slow)(texts)
    assert first_difference(texts, got, wanted) is None
    lengths = vocabulary(fast).byte_lengths
    assert lengths is not None
    n_bytes = np.array([len(text.encode()) for text in texts], np.int64)
    assert positions_exact(lengths, *got, n_bytes).all()


def first_texts(shard: Path, count: int) -> list[str]:
    with gzip.open(shard, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in islice(lines, count)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("! \x1d& ?", ["!", " \x1d&", " ?"]),
        ("\x1d\x1da", ["a"]),
        ("x \U000866bb_ ?", ["x", " ", "\\x86", "\\x9a", "\\xbb", "_", " ?"]),
        ("\x1d", []),
    ],
)
def test_bytes_that_the_vocabulary_lacks_shift_nothing(text: str, pieces: list[str]) -> None:
    spec = load_tokenizer(str(SAMPLES / "tokenizer.json"))
    starts, ends = token_byte_spans(spec, text)
    raw = text.encode()
    assert [raw[a:b].decode("utf-8", "backslashreplace") for a, b in zip(starts, ends, strict=True)] == pieces
    assert len(encoder(spec)([text])[0]) == len(pieces)


def test_foreign_ids_are_refused(specs: dict[str, TokenizerSpec]) -> None:
    spec = specs["byte_level"]
    ids, _ = encoder(spec)(["The cat drank water"])
    check_ids(spec, "The cat drank water", ids)
    with pytest.raises(TokenizerError, match=f"from token {len(ids) - 1} on.*tokenize_corpus"):
        check_ids(spec, "The cat drank water", ids[:-1])
    with pytest.raises(TokenizerError, match="from token 1 on"):
        check_ids(spec, "The cat drank water", ids + (np.arange(len(ids)) == 1))
