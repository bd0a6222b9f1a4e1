"""The compiled BPE loops against the reference library: pre-tokens, ids, and what is left to the reference."""

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
from tokenizers import Tokenizer

from pivot_udfs.tokenization import byte_level
from pivot_udfs.tokenization.byte_level import ByteLevelEncoder, read_rules, unsupported_by_loops
from pivot_udfs.tokenization.encode_kernel import Rules
from pivot_udfs.tokenization.merge_kernel import LONGEST
from pivot_udfs.tokenization.pre_token_table import new_table
from pivot_udfs.tokenization.pretokenize_kernel import CUT, pretokenize, split
from pivot_udfs.tokenization.text_batch import TextBatch

SAMPLE = Path(__file__).parents[1] / "samples" / "tokenizer.json"
SIGNS = "abAB '12\u0663\u00bd\u516d\u2177 \n\t\r/\u3000\u00a0\u2028,s-\u00e9\u00c9\u6c34\u304c\u732b\u3099e\u0301\u0300"
CASES = "\u01c5\u02b0\u0130\u017f\U0001f642"
PARTS = "'s 're 'LL n'T '\u017f '\u017fare \u212a's the water L'eau cat <tool> cafe\u0301 caf\u00e9"
MORE = "<|end|> [mark] zqx \u6c34\u6c34 \u0898\u0334"
CHUNKS = st.one_of(
    st.sampled_from(SIGNS + CASES),
    st.sampled_from([*PARTS.split(), *MORE.split(), "  ", "   ", "\n\n", " qzx"]),
    st.characters(exclude_categories=["Cs"]),
)
TEXT = st.lists(CHUNKS, max_size=30).map("".join)


class Counted:
    """The reference, and the characters that its model was asked for."""

    def __init__(self, reference: Tokenizer) -> None:
        self.reference, self.model, self.asked = reference, self, 0

    def tokenize(self, text: str) -> Any:
        self.asked += len(text)
        return self.reference.model.tokenize(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reference, name)


@pytest.fixture(scope="module", params=tokenizer_files.GPT2_FAMILIES)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return tokenizer_files.family(tmp_path_factory.mktemp("family"), request.param)


@pytest.fixture(scope="module")
def sample() -> str:
    return str(SAMPLE)


def _config(path: str) -> dict[str, Any]:
    return dict(json.loads(Path(path).read_text(encoding="utf-8")))


@functools.cache
def _reference(path: str) -> Tokenizer:
    reference = Tokenizer.from_file(path)
    reference.encode_special_tokens = True
    return reference


@functools.cache
def _encoder(path: str) -> ByteLevelEncoder:
    return ByteLevelEncoder(_config(path), _reference(path))


@functools.cache
def _rules(path: str) -> Rules:
    return read_rules(_config(path))


def _counted(path: str) -> tuple[ByteLevelEncoder, Counted]:
    counted: Any = Counted(_reference(path))
    return ByteLevelEncoder(_config(path), counted), counted


def _expected(path: str, texts: list[str]) -> list[list[int]]:
    return [_reference(path).encode(text, add_special_tokens=False).ids for text in texts]


def _rows(encoder: ByteLevelEncoder, texts: list[str]) -> list[list[int]]:
    ids, offsets = encoder(texts)
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    assert (offsets[0], offsets[-1]) == (0, len(ids))
    return [ids[a:b].tolist() for a, b in pairwise(offsets.tolist())]


def _ends(text: str, rules: Rules, joined: bool) -> tuple[list[int], list[int]]:
    """Where the pre-tokens of a text end, in bytes, and where their slices do if all or none may be cut."""
    data, _ = TextBatch([text]).buffers
    ends, cuts = np.empty(len(data), np.uint32), np.empty(len(data), np.uint32)
    text_at, zero, end = (np.uint64(k) for k in (data.ctypes.data, 0, len(data)))
    joins, pairs = np.full(1 << 16, joined, np.uint8), np.full(1 << 15, -1 if joined else 0, np.int64)
    classes_at, bytes_at, pairs_at = (np.uint64(k.ctypes.data) for k in (rules.classes, joins, pairs))
    n_slices = pretokenize(text_at, zero, end, (classes_at, bytes_at, pairs_at), ends, cuts)
    n = split(text_at, zero, end, classes_at, ends)
    return ends[: int(n)].tolist(), cuts[: int(n_slices)].tolist()


@given(text=TEXT)
def test_pre_tokens_are_those_of_the_reference(path: str, text: str) -> None:
    step = _reference(path).pre_tokenizer
    assert step is not None
    pieces = [text[a:b] for _, (a, b) in step.pre_tokenize_str(text)]
    ends = np.cumsum([len(piece.encode()) for piece in pieces], dtype=np.int64).tolist()
    assert _ends(text, _rules(path), joined=True) == (ends, ends)


@given(text=TEXT)
def test_slices_end_where_pre_tokens_and_characters_do(path: str, text: str) -> None:
    ends, cuts = _ends(text, _rules(path), joined=False)
    raw = text.encode()
    slices = [raw[a:b].decode() for a, b in pairwise([0, *(end & (CUT - 1) for end in cuts)])]
    assert "".join(slices) == text
    assert [end for end in cuts if end < CUT] == ends
    assert all(len(piece) == 1 or piece.isascii() for piece in slices)


@given(texts=st.lists(TEXT, max_size=4))
def test_ids_are_the_references(path: str, texts: list[str]) -> None:
    """Three times: merged, looked up, looked up among the short ones."""
    assert [_rows(_encoder(path), texts) for _ in range(3)] == [_expected(path, texts)] * 3


@given(texts=st.lists(TEXT, max_size=4))
def test_ids_are_the_references_when_tables_are_full(path: str, texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_level, "new_table", lambda: new_table(16, 2))
        small = _full(path)
    assert [_rows(small, texts) for _ in range(3)] == [_expected(path, texts)] * 3


@functools.cache
def _full(path: str) -> ByteLevelEncoder:
    return _counted(path)[0]


@pytest.mark.parametrize("step", tokenizer_files.STEPS)
def test_every_character_gets_the_references_ids(path: str, step: int) -> None:
    """Each after a letter, spaces, a numeral, an apostrophe and signs, and before letters and signs."""
    characters = tokenizer_files.characters(step)
    texts = [f"a{char}  {char}1{char}s'{char}are!{char}A{char}!{char}\n" for char in characters]
    joined = ["\u0130".join(texts[k : k + 64]) for k in range(0, len(texts), 64)]
    assert _rows(_encoder(path), joined) == _expected(path, joined)


@pytest.mark.parametrize("step", tokenizer_files.STEPS)
def test_bytes_without_a_token_are_dropped_as_the_reference_does(sample: str, step: int) -> None:
    texts = [f"a{char}b  \u6c34{char}\u6c34{char}" for char in tokenizer_files.characters(step)]
    joined = ["\u0130".join(texts[k : k + 64]) for k in range(0, len(texts), 64)]
    encoder, counted = _counted(sample)
    assert _rows(encoder, joined) == _expected(sample, joined)
    assert counted.asked < 20_000, "all but what the vocabulary lacks goes through the loops"


def test_real_text_needs_no_reference(path: str) -> None:
    text = "L'été, 1,234 volts\u00a0: the water's cold.\n\n  水很冷。２０２４年、猫が水を飲んだ。" * 50
    encoder, counted = _counted(path)
    assert _rows(encoder, [text, text]) == _expected(path, [text, text])
    assert counted.asked == 0


@pytest.mark.parametrize("word", ["zqxjkvwQZzqxjkv", "水ꙮꙮꙮ", "aaaaaaaaaaaaaaaaaaaaaaaa", "b" * 25])
def test_pre_tokens_of_many_ids_are_met_again(sample: str, word: str) -> None:
    for _ in range(2):
        assert _rows(_encoder(sample), [word, f" {word} {word}"]) == _expected(sample, [word, f" {word} {word}"])


@pytest.mark.parametrize(
    ("pre_token", "asked"),
    [("a" * LONGEST, 0), ("a" * (LONGEST + 1), LONGEST + 1), ("-" * 3000, 3000), ("\x04", 1), ("!!\x04!!", 5)],
)
def test_only_pre_tokens_that_the_loops_refuse_go_to_the_reference(sample: str, pre_token: str, asked: int) -> None:
    """The others of their text do not: the library takes a hundred bytes of memory for each one of text."""
    texts = ["water", f"the eau\n{pre_token}\n水 {pre_token * 2}", "", f"{pre_token}", "the", "\x04\x06"]
    assert _rows(_encoder(sample), texts) == _expected(sample, texts)
    encoder, counted = _counted(sample)
    _rows(encoder, [f"the eau\n{pre_token}\n水 猫が水を飲んだ"])
    assert counted.asked == asked


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"normalizer": {"type": "NFC"}}, "has a normalizer"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre-tokenizer"),
        ({"pre_tokenizer": None}, "pre-tokenizer"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": []}}, "pre-tokenizer"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}}, "pre-tokenizer"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}}, "pre-tokenizer"),
        ({"digits": {"type": "Digits", "individual_digits": False}}, "pre-tokenizer"),
        ({"digits": {"type": "Split", "pattern": {"String": "-"}, "behavior": "Isolated"}}, "other steps"),
        ({"model": {"ignore_merges": True}}, "model.ignore_merges"),
        ({"model": {"dropout": 0.1}}, "model.dropout"),
        ({"model": {"byte_fallback": True}}, "model.byte_fallback"),
        ({"model": {"end_of_word_suffix": "</w>"}}, "model.end_of_word_suffix"),
        ({"model": {"continuing_subword_prefix": "##"}}, "model.continuing_subword_prefix"),
        ({"model": {"type": "Unigram"}}, "not BPE"),
        ({"model": {"vocab": {"a": 1, "b": 1}}}, "two tokens have one id"),
        ({"model": {"vocab": {"a": 1 << 22}}}, "too large"),
        ({"model": {"merges": [["a", "b"]] * (1 << 20)}}, "too large"),
        ({"added_tokens": [{"content": "[mark]", "special": False}]}, "'\\[mark\\]' is not special"),
    ],
    ids=lambda change: json.dumps(change)[:60],
)
def test_other_tokenizers_are_not_taken(sample: str, change: dict[str, Any], reason: str) -> None:
    config = _config(sample)
    assert unsupported_by_loops(config) is None
    if "digits" in change:
        config["pre_tokenizer"]["pretokenizers"][0] = change["digits"]
    config["model"] |= change.get("model", {})
    config |= {key: value for key, value in change.items() if key not in ("model", "digits")}
    with pytest.raises(ValueError, match=reason):
        raise ValueError(unsupported_by_loops(config))


def test_a_column_and_buffers_of_a_batch_are_its_texts() -> None:
    texts = ["", "水", "eau", ""]
    batch = TextBatch.of(texts)
    assert TextBatch.of(batch) is batch
    assert batch.column.to_pylist() == texts
    data, starts = batch.buffers
    assert [bytes(data[a:b]).decode() for a, b in pairwise(starts.tolist())] == texts
    assert bytes(np.frombuffer(data.base, np.uint8)[data.size :][:32]) == b" " * 32
