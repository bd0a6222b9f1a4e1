"""Our byte-level BPE against the reference library: its pieces, its ids, and what is left to the reference."""

import functools
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizer_files
from hypothesis import given
from hypothesis import strategies as st
from pivot_udfs.tokenization.pretokenize_kernel import piece_ends
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel, Digits

from pivot_udfs.tokenization import byte_level, encode_kernel
from pivot_udfs.tokenization.backends import load_tokenizer
from pivot_udfs.tokenization.byte_level import ByteLevelEncoder, is_byte_level_bpe, read_rules
from pivot_udfs.tokenization.encode_kernel import LONGEST
from pivot_udfs.tokenization.text_batch import TextBatch

SAMPLE = Path(__file__).parents[1] / "samples" / "tokenizer.json"
CHUNKS = st.one_of(
    st.sampled_from("ab '12\u0663½六ⅷ \n\t\r\u3000\u00a0\u2028,s-té水が猫\u3099e\u0301\U0001f642"),
    st.sampled_from(["'s", "'re", "'ll", "n't", "  ", "\n\n", "the", "water", "L'eau"]),
    st.characters(exclude_categories=["Cs"]),
)
TEXT = st.lists(CHUNKS, max_size=30).map("".join)
_rules = functools.cache(read_rules)


class Counted:
    """The reference's model, and the characters of the alphabet that it was asked for."""

    def __init__(self, model: Any) -> None:
        self._model, self.asked = model, 0

    def tokenize(self, text: str) -> Any:
        self.asked += len(text)
        return self._model.tokenize(text)


def _encoder(payload: bytes) -> tuple[ByteLevelEncoder, Counted]:
    counted: Any = Counted(Tokenizer.from_str(payload.decode()).model)
    return ByteLevelEncoder(_rules(payload), counted), counted


def _trained(folder: Path, digits: bool) -> bytes:
    """A tokenizer trained on four languages, without the added token that is not special."""
    tokenizer = Tokenizer.from_file(tokenizer_files.byte_level(folder))
    level = ByteLevel(add_prefix_space=False)
    steps = pre_tokenizers.Sequence([Digits(individual_digits=True), level]) if digits else level
    tokenizer.pre_tokenizer = steps  # type: ignore[assignment]
    config = json.loads(tokenizer.to_str())
    config["added_tokens"] = [token for token in config["added_tokens"] if token["special"]]
    return json.dumps(config).encode()


@pytest.fixture(scope="module", params=[True, False], ids=["digits", "plain"])
def payload(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _trained(tmp_path_factory.mktemp("trained"), request.param)


@pytest.fixture(scope="module")
def sample() -> bytes:
    return load_tokenizer(str(SAMPLE)).payload


def _expected(payload: bytes, texts: list[str]) -> list[list[int]]:
    reference = _reference(payload)
    return [reference.encode(text, add_special_tokens=False).ids for text in texts]


@functools.cache
def _reference(payload: bytes) -> Tokenizer:
    reference = Tokenizer.from_str(payload.decode())
    reference.encode_special_tokens = True
    return reference


def _rows(encoder: ByteLevelEncoder, texts: list[str]) -> list[list[int]]:
    ids, offsets = encoder.encode(texts)
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    assert (offsets[0], offsets[-1]) == (0, len(ids))
    return [ids[a:b].tolist() for a, b in pairwise(offsets.tolist())]


def _pieces(text: str, payload: bytes, joins: np.ndarray[Any, Any]) -> list[str]:
    data, _ = TextBatch([text]).buffers
    ends = np.empty(len(data), np.uint32)
    n_pieces = piece_ends(data, np.uint64(0), np.uint64(len(data)), _rules(payload).kinds, joins, ends)
    return [bytes(data[a:b]).decode() for a, b in pairwise([0, *ends[:n_pieces].tolist()])]


@given(text=TEXT)
def test_pieces_are_the_pre_tokenizers(payload: bytes, text: str) -> None:
    step = _reference(payload).pre_tokenizer
    assert step is not None
    expected = [text[a:b] for _, (a, b) in step.pre_tokenize_str(text)]
    assert _pieces(text, payload, np.ones(1 << 16, np.uint8)) == expected


@given(text=TEXT)
def test_pieces_are_cut_further_where_nothing_joins(payload: bytes, text: str) -> None:
    whole, cut = (_pieces(text, payload, np.full(1 << 16, joined, np.uint8)) for joined in (1, 0))
    assert "".join(cut) == "".join(whole) == text
    ends = [set(np.cumsum([len(piece) for piece in pieces]).tolist()) for pieces in (whole, cut)]
    assert ends[0] <= ends[1]
    assert all(len(piece) == 1 or piece.isascii() for piece in cut)


@given(texts=st.lists(TEXT, max_size=4))
def test_ids_are_the_references(payload: bytes, texts: list[str]) -> None:
    """With tables that are full after few pieces, too; thrice: merged, looked up, looked up among the short ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_level, "_ROWS", 8)
        patch.setattr(encode_kernel, "_SHORT_ROWS", 2)
        small, counted = _encoder(payload)
    for encoder in (small, _encoder(payload)[0]):
        assert [_rows(encoder, texts) for _ in range(3)] == [_expected(payload, texts)] * 3
    assert counted.asked == 0, "this vocabulary has every byte"


def test_every_character_gets_the_references_ids(sample: bytes) -> None:
    """Each by itself after a letter, two spaces and a numeral, and before a letter; in all planes with characters."""
    points = [point for plane in ((0, 0xD800), (0xE000, 0x33500), (0xE0000, 0xE0200)) for point in range(*plane)]
    texts = [f"a{char}  {char}1{char}s'{char}" for char in map(chr, points)]
    joined = ["\u0130".join(texts[k : k + 64]) for k in range(0, len(texts), 64)]
    encoder, counted = _encoder(sample)
    assert _rows(encoder, joined) == _expected(sample, joined)
    assert counted.asked < 1_000, "but for controls that the vocabulary lacks, all goes through the loops"


def test_real_text_needs_no_reference(sample: bytes) -> None:
    text = "L'été, 1,234 volts\u00a0: the water's cold.\n\n  水很冷。２０２４年、猫が水を飲んだ。" * 50
    encoder, counted = _encoder(sample)
    assert _rows(encoder, [text, text]) == _expected(sample, [text, text])
    assert counted.asked == 0


@pytest.mark.parametrize("word", ["zqxjkvwQZzqxjkv", "水ꙮꙮꙮ", "aaaaaaaaaaaaaaaaaaaaaaaa", "b" * 25])
def test_pieces_of_many_ids_are_met_again(sample: bytes, word: str) -> None:
    encoder, _ = _encoder(sample)
    for _ in range(2):
        assert _rows(encoder, [word, f" {word} {word}"]) == _expected(sample, [word, f" {word} {word}"])


@pytest.mark.parametrize(
    ("piece", "asked"),
    [("a" * LONGEST, 0), ("a" * (LONGEST + 1), LONGEST + 1), ("-" * 3000, 3000), ("\x04", 1), ("!!\x04!!", 5)],
)
def test_only_pieces_that_the_loops_do_not_take_go_to_the_reference(sample: bytes, piece: str, asked: int) -> None:
    """The others of their text do not: the library takes a hundred bytes of memory for each one of text."""
    texts = ["water", f"the eau\n{piece}\n水 {piece * 2}", "", f"{piece}", "the", "\x04\x06"]
    encoder, counted = _encoder(sample)
    assert _rows(encoder, texts) == _expected(sample, texts)
    encoder, counted = _encoder(sample)
    _rows(encoder, [f"the eau\n{piece}\n水 猫が水を飲んだ"])
    assert counted.asked == asked


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": []}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}},
        {"digits": {"type": "Digits", "individual_digits": False}},
        {"model": {"ignore_merges": True}},
        {"model": {"dropout": 0.1}},
        {"model": {"byte_fallback": True}},
        {"model": {"end_of_word_suffix": "</w>"}},
        {"model": {"continuing_subword_prefix": "##"}},
        {"model": {"type": "Unigram"}},
        {"model": {"vocab": {"a": 1, "b": 1}}},
        {"model": {"vocab": {"a": 1 << 22}}},
        {"model": {"merges": [["a", "b"]] * (1 << 20)}},
        {"added_tokens": [{"content": "[mark]", "special": False}]},
    ],
    ids=lambda change: json.dumps(change)[:60],
)
def test_other_tokenizers_are_not_taken(sample: bytes, change: dict[str, Any]) -> None:
    config = json.loads(sample)
    assert is_byte_level_bpe(sample)
    if "digits" in change:
        config["pre_tokenizer"]["pretokenizers"][0] = change["digits"]
    config["model"] |= change.get("model", {})
    config |= {key: value for key, value in change.items() if key not in ("model", "digits")}
    assert not is_byte_level_bpe(json.dumps(config).encode())


def test_a_column_and_buffers_of_a_batch_are_its_texts() -> None:
    texts = ["", "水", "eau", ""]
    batch = TextBatch.of(texts)
    assert TextBatch.of(batch) is batch
    assert batch.column.to_pylist() == texts
    data, starts = batch.buffers
    assert [bytes(data[a:b]).decode() for a, b in pairwise(starts.tolist())] == texts
    assert bytes(np.frombuffer(data.base, np.uint8)[data.size :][:32]) == b" " * 32
