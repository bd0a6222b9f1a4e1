"""The texts, bytes and letters of token ids, and the tokens of words."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizer_files
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from pivot_udfs.tokenization.backends import encoder, load_tokenizer
from pivot_udfs.tokenization.token_bytes import byte_alphabet
from pivot_udfs.tokenization.vocabulary import vocabulary, word_token_ids


def test_vocabulary_of_byte_level(byte_level: str) -> None:
    words = vocabulary(load_tokenizer(byte_level))
    by_text = {text: k for k, text in enumerate(words.texts)}
    assert words.size == len(words.texts) == len(words.has_letter)
    assert words.special_ids == {by_text["<|end|>"]}
    assert words.byte_lengths is not None
    assert words.byte_lengths[by_text[" water"]] == 6
    assert words.has_letter[by_text[" water"]]
    assert words.byte_lengths[by_text[r"\xe6"]] == 1
    assert not words.has_letter[by_text[r"\xe6"]]
    assert not words.has_letter[by_text["."]]


def test_the_unknown_token_of_a_unigram_vocabulary_is_special(tmp_path: Path) -> None:
    model = {"type": "Unigram", "unk_id": 1, "vocab": [["eau", -1.0], ["<unk>", 0.0]]}
    path = tmp_path / "unigram.json"
    path.write_text(json.dumps({"model": model, "added_tokens": []}), encoding="utf-8")
    assert vocabulary(load_tokenizer(str(path))).special_ids == {1}


@pytest.mark.parametrize("change", ["normalizer", "prefix_space", "unknown", "removed"])
def test_byte_lengths_only_where_they_are_positions(byte_level: str, folder: Path, change: str) -> None:
    config = json.loads(Path(byte_level).read_text(encoding="utf-8"))
    if change == "normalizer":
        config["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}
    elif change == "prefix_space":
        config["pre_tokenizer"]["add_prefix_space"] = True
    elif change == "unknown":
        config["model"]["unk_token"] = "<|end|>"  # noqa: S105 - no password
        del config["model"]["vocab"]["ÿ"]
    else:
        split = {"type": "Split", "pattern": {"String": "-"}, "behavior": "Removed", "invert": False}
        config["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, config["pre_tokenizer"]]}
    path = folder / f"changed_{change}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    assert vocabulary(load_tokenizer(str(path), "tokenizers")).byte_lengths is None


@pytest.mark.parametrize("make", [tokenizer_files.byte_fallback, tokenizer_files.sentencepiece_model])
def test_vocabulary_with_byte_fallback(folder: Path, make: Callable[[Path], str]) -> None:
    spec = load_tokenizer(make(folder))
    words = vocabulary(spec)
    ids, _ = encoder(spec)(["the ꙮ"])
    texts = [words.texts[k] for k in ids]
    assert texts[-3:] == [r"\xea", r"\x99", r"\xae"]
    assert not words.has_letter[ids[-1]]
    assert words.byte_lengths is None
    assert {words.texts[k] for k in words.special_ids} >= {"<unk>", "<s>"}


def test_word_tokens_with_and_without_space(byte_level: str, folder: Path) -> None:
    spec = load_tokenizer(byte_level)
    texts = {vocabulary(spec).texts[k] for k in word_token_ids(spec, "water")}
    assert " water" in texts
    assert {
        k
        for text in ("water", " water")
        for k in Tokenizer.from_file(byte_level).encode(text, add_special_tokens=False).ids
    } <= word_token_ids(spec, "water")
    other = load_tokenizer(tokenizer_files.sentencepiece_model(folder))
    assert "水" in {vocabulary(other).texts[k] for k in word_token_ids(other, "水")}


def test_byte_alphabet_is_that_of_the_library() -> None:
    alphabet = byte_alphabet()
    assert sorted(alphabet) == sorted(ByteLevel.alphabet())
    assert sorted(alphabet.values()) == list(range(256))
    for char in "aé水🙂 \n":
        written = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(char)[0][0]
        assert bytes(alphabet[c] for c in written) == char.encode()
