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
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel, Digits

from pivot_udfs import byte_level
from pivot_udfs.byte_level import ByteLevelEncoder, is_byte_level_bpe, read_rules
from pivot_udfs.merge_kernel import LONGEST
from pivot_udfs.piece_kernel import piece_ends
from pivot_udfs.text_batch import Encoded, TextBatch
from pivot_udfs.token_encoders import TokenizersEncoder
from pivot_udfs.tokenizer_backends import load_tokenizer, reference_tokenizer

SAMPLE = Path(__file__).parent / "samples" / "tokenizer.json"
CHUNKS = st.one_of(
    st.sampled_from("ab '12\u0663½六ⅷ \n\t\r\u3000\u00a0\u2028,s-té水が猫\u3099e\u0301\U0001f642"),
    st.sampled_from(["'s", "'re", "'ll", "n't", "  ", "\n\n", "the", "water", "L'eau"]),
    st.characters(exclude_categories=["Cs"]),
)
TEXT = st.lists(CHUNKS, max_size=30).map("".join)
_rules = functools.cache(read_rules)


class Refuses:
    """A reference that no text should reach."""

    def encode(self, texts: Any) -> Encoded:
        raise AssertionError(f"went to the reference: {texts!r}")


def _encoder(payload: bytes, reference: Any = None) -> ByteLevelEncoder:
    return ByteLevelEncoder(_rules(payload), reference or Refuses())


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


def _pieces(text: str, payload: bytes, joins: np.ndarray[Any, Any]) -> list[str]:
    rules = _rules(payload)
    data, words, offsets = TextBatch([text]).buffers
    ends, firsts, disputed = piece_ends(data, words, offsets, rules.kinds, joins, rules.numerals_alone)
    assert firsts.tolist() == [0, len(ends)]
    bounds = pairwise([0, *ends.tolist()])
    return [] if disputed.any() else [bytes(data[a:b]).decode() for a, b in bounds]


@given(text=TEXT)
def test_pieces_are_the_pre_tokenizers(payload: bytes, text: str) -> None:
    step = Tokenizer.from_str(payload.decode()).pre_tokenizer
    assert step is not None
    expected = [text[a:b] for _, (a, b) in step.pre_tokenize_str(text)]
    got = _pieces(text, payload, np.ones(1 << 16, np.uint8))
    assert got == expected or (not got and _is_disputed(text, payload))


def _is_disputed(text: str, payload: bytes) -> bool:
    return bool((_rules(payload).kinds[[ord(char) for char in text]] == 4).any())


@given(text=TEXT)
def test_pieces_are_cut_further_where_nothing_joins(payload: bytes, text: str) -> None:
    whole, cut = (_pieces(text, payload, np.full(1 << 16, joined, np.uint8)) for joined in (1, 0))
    assert "".join(cut) == "".join(whole)
    ends = [set(np.cumsum([len(piece) for piece in pieces]).tolist()) for pieces in (whole, cut)]
    assert ends[0] <= ends[1]
    assert all(len(piece) == 1 or piece.isascii() for piece in cut)


@given(texts=st.lists(TEXT, max_size=4))
def test_ids_are_the_references(payload: bytes, texts: list[str]) -> None:
    reference = Tokenizer.from_str(payload.decode())
    reference.encode_special_tokens = True
    for encoder in (_encoder(payload, TokenizersEncoder(reference)), _SMALL(payload, TokenizersEncoder(reference))):
        for _ in range(2):
            ids, offsets = encoder.encode(texts)
            assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
            rows = [ids[a:b].tolist() for a, b in pairwise(offsets.tolist())]
            assert rows == [reference.encode(text, add_special_tokens=False).ids for text in texts]


def _SMALL(payload: bytes, reference: Any) -> ByteLevelEncoder:  # noqa: N802
    """An encoder whose table is full after four pieces and is emptied before each call that finds it so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_level, "_ROWS", 8)
        return _encoder(payload, reference)


def test_every_character_gets_the_references_ids(sample: bytes) -> None:
    """Each by itself after a letter, two spaces and a numeral, and before a letter; in all planes with characters."""
    points = [point for plane in ((0, 0xD800), (0xE000, 0x33500), (0xE0000, 0xE0200)) for point in range(*plane)]
    texts = [f"a{char}  {char}1{char}s'{char}" for char in map(chr, points)]
    reference = TokenizersEncoder(reference_tokenizer(load_tokenizer(str(SAMPLE))))
    joined = ["\u0130".join(texts[k : k + 64]) for k in range(0, len(texts), 64)]
    got, expected = _encoder(sample, reference).encode(joined), reference.encode(joined)
    assert got[1].tolist() == expected[1].tolist()
    assert np.array_equal(got[0], expected[0])


def test_real_text_needs_no_reference(sample: bytes) -> None:
    text = "L'été, 1,234 volts\u00a0: the water's cold.\n\n  水很冷。２０２４年、猫が水を飲んだ。" * 50
    ids, _ = _encoder(sample).encode([text, text])
    assert ids.tolist() == 2 * Tokenizer.from_str(sample.decode()).encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("text", ["a" * (LONGEST + 1), "water \x04 x", " " * 300])
def test_what_the_loops_do_not_take_goes_to_the_reference(sample: bytes, text: str) -> None:
    reference = TokenizersEncoder(reference_tokenizer(load_tokenizer(str(SAMPLE))))
    ids, offsets = _encoder(sample, reference).encode(["water", text, "the"])
    expected = reference.encode(["water", text, "the"])
    assert ids.tolist() == expected[0].tolist()
    assert offsets.tolist() == expected[1].tolist()
    with pytest.raises(AssertionError, match="went to the reference"):
        _encoder(sample).encode([text])


def test_a_piece_of_the_longest_size_is_taken(sample: bytes) -> None:
    ids, _ = _encoder(sample).encode(["a" * LONGEST])
    assert ids.tolist() == Tokenizer.from_str(sample.decode()).encode("a" * LONGEST, add_special_tokens=False).ids


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}},
        {"model": {"ignore_merges": True}},
        {"model": {"type": "Unigram"}},
        {"added_tokens": [{"content": "[mark]", "special": False}]},
    ],
)
def test_other_tokenizers_are_not_taken(sample: bytes, change: dict[str, Any]) -> None:
    config = json.loads(sample)
    assert is_byte_level_bpe(sample)
    change = change | ({"model": config["model"] | change["model"]} if "model" in change else {})
    assert not is_byte_level_bpe(json.dumps(config | change).encode())


def test_a_column_and_buffers_of_a_batch_are_its_texts() -> None:
    texts = ["", "水", "eau", ""]
    batch = TextBatch.of(texts)
    assert TextBatch.of(batch) is batch
    assert batch.column.to_pylist() == texts
    data, words, starts = batch.buffers
    assert [bytes(data[a:b]).decode() for a, b in pairwise(starts.tolist())] == texts
    assert words.nbytes >= data.size + 32
    assert words.view(np.uint8)[: data.size].tolist() == data.tolist()
