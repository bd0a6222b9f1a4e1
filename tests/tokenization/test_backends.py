"""Tokenizer backends give the reference's ids, say so when they cannot, and refuse what is no tokenizer."""

import functools
import gzip
import json
import logging
import pickle
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import tokenizer_files
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenization.backends import TokenizerSpec, encoder, load_tokenizer
from pivot_udfs.tokenization.equivalence_probe import first_difference, probe_texts
from pivot_udfs.tokenization.vocabulary import vocabulary

MULTILINGUAL = st.text(
    st.one_of(
        st.sampled_from("the water l'eau 水が飲んだ猫\n\t  e\u0301ﬁ🙂 <|end|>[mark]"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=60,
)


def expected_ids(path: str, text: str) -> list[int]:
    tokenizer = Tokenizer.from_file(path)
    tokenizer.encode_special_tokens = True
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


@given(texts=st.lists(MULTILINGUAL, max_size=5))
@settings(max_examples=60)
def test_fastokens_gives_the_ids_of_tokenizers(byte_level: str, texts: list[str]) -> None:
    fast, slow = load_tokenizer(byte_level, "fastokens"), load_tokenizer(byte_level, "tokenizers")
    got, wanted = encoder(fast)(texts), encoder(slow)(texts)
    assert first_difference(texts, got, wanted) is None
    assert got[1].tolist() == wanted[1].tolist()


@pytest.mark.parametrize("backend", ["byte_level", "fastokens"])
def test_odd_characters_of_real_text_get_the_ids_of_tokenizers(backend: str) -> None:
    """Digits, spaces and controls of all scripts, some of them bytes that this vocabulary lacks."""
    path = str(Path(__file__).parents[1] / "samples" / "tokenizer.json")
    kinds = {"Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cc", "Cf"}
    odd = [chr(c) for c in range(0x20000) if unicodedata.category(chr(c)) in kinds]
    odd += map(chr, range(0x11DE0, 0x11DEA))
    texts = [f"a{char}b  {char}1 {char}{char} '{char}s\n" for char in odd]
    got = encoder(load_tokenizer(path, backend))(texts)
    assert first_difference(texts, got, encoder(load_tokenizer(path, "tokenizers"))(texts)) is None


@pytest.mark.parametrize("name", ["cl100k", "qwen", "o200k"])
def test_fastokens_gives_the_ids_of_tokenizers_for_long_s(folder: Path, name: str) -> None:
    """U+017F is an "s" in contractions to the reference only."""
    path = tokenizer_files.family(folder, name)
    texts = ["'\u017fare", "it'\u017ftthe a'\u017fS'LL", "\u212a's water"]
    got, wanted = (encoder(load_tokenizer(path, backend))(texts) for backend in ("fastokens", "tokenizers"))
    assert first_difference(texts, got, wanted) is None


@pytest.mark.parametrize("step", tokenizer_files.STEPS)
@pytest.mark.parametrize("name", tokenizer_files.OTHER_FAMILIES)
def test_auto_picks_fastokens_for_other_families_and_the_ids_are_those_of_tokenizers(
    folder: Path, name: str, step: int
) -> None:
    """Every character, after a letter, spaces, a numeral, an apostrophe and signs, and before letters and signs."""
    path = tokenizer_files.family(folder, name)
    spec = load_tokenizer(path)
    assert spec.backend == "fastokens"
    with pytest.raises(TokenizerError, match="byte_level does not fit"):
        load_tokenizer(path, "byte_level")
    characters = tokenizer_files.characters(step)
    texts = [f"a{char}  {char}1{char}s'{char}are!{char}A{char}!{char}\n" for char in characters]
    joined = ["\u0130".join(texts[k : k + 64]) for k in range(0, len(texts), 64)]
    got, wanted = (encoder(spec)(joined), encoder(load_tokenizer(path, "tokenizers"))(joined))
    assert first_difference(joined, got, wanted) is None


@pytest.mark.parametrize("name", tokenizer_files.OTHER_FAMILIES)
@given(texts=st.lists(MULTILINGUAL, max_size=5))
@settings(max_examples=40)
def test_generated_texts_get_the_ids_of_tokenizers_in_other_families(folder: Path, name: str, texts: list[str]) -> None:
    spec, reference = _family(folder, name)
    assert first_difference(texts, encoder(spec)(texts), encoder(reference)(texts)) is None


@functools.cache
def _family(folder: Path, name: str) -> tuple[TokenizerSpec, TokenizerSpec]:
    path = tokenizer_files.family(folder, name)
    return load_tokenizer(path), load_tokenizer(path, "tokenizers")


@pytest.mark.parametrize(("name", "backend"), [("smollm", "byte_level"), ("gpt2", "fastokens")])
def test_auto_picks_the_loops_only_where_single_digits_are_split_off(folder: Path, name: str, backend: str) -> None:
    path = tokenizer_files.family(folder, name)
    assert load_tokenizer(path).backend == backend
    assert load_tokenizer(path, "byte_level").backend == "byte_level"


@pytest.mark.parametrize("backend", ["fastokens", "tokenizers"])
def test_ids_are_flat_with_offsets(byte_level: str, backend: str) -> None:
    ids, offsets = encoder(load_tokenizer(byte_level, backend))(tokenizer_files.TEXTS)
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
    assert offsets[0] == 0
    assert offsets[-1] == len(ids)
    rows = [ids[a:b].tolist() for a, b in pairwise(offsets)]
    assert rows == [expected_ids(byte_level, text) for text in tokenizer_files.TEXTS]


@pytest.mark.parametrize("make", [tokenizer_files.byte_level, tokenizer_files.sentencepiece_model])
def test_no_texts_give_no_ids(folder: Path, make: Callable[[Path], str]) -> None:
    ids, offsets = encoder(load_tokenizer(make(folder)))([])
    assert (ids.tolist(), ids.dtype, offsets.tolist()) == ([], np.int32, [0])


@pytest.mark.parametrize("backend", ["fastokens", "tokenizers"])
def test_special_text_stays_plain_and_added_text_matches(byte_level: str, backend: str) -> None:
    spec = load_tokenizer(byte_level, backend)
    ids, _ = encoder(spec)(["a<|end|>[mark]"])
    words = vocabulary(spec)
    assert not words.special_ids & set(ids.tolist())
    assert words.texts[ids[-1]] == "[mark]"
    assert "".join(words.texts[k] for k in ids) == "a<|end|>[mark]"


def test_truncation_and_padding_in_the_file_are_left_out(byte_level: str, folder: Path) -> None:
    tokenizer = Tokenizer.from_file(byte_level)
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "truncating.json"))
    for backend in ("fastokens", "tokenizers"):
        ids, _ = encoder(load_tokenizer(str(folder / "truncating.json"), backend))(["water the cat"])
        assert ids.tolist() == expected_ids(byte_level, "water the cat")


@pytest.mark.parametrize("make", [tokenizer_files.byte_fallback, tokenizer_files.unigram])
def test_auto_falls_back_with_a_warning(
    folder: Path, make: Callable[[Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    path = make(folder)
    with caplog.at_level(logging.WARNING):
        spec = load_tokenizer(path)
    assert spec.backend == "tokenizers"
    assert "fastokens does not fit" in caplog.text
    ids, _ = encoder(spec)(["the 水 🙂"])
    assert ids.tolist() == expected_ids(path, "the 水 🙂")
    with pytest.raises(TokenizerError, match="fastokens does not fit"):
        load_tokenizer(path, "fastokens")


def test_tokens_that_are_whole_words_are_found_beside_other_added_tokens(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(tokenizer_files.family(tmp_path, "gpt2"))
    words = [AddedToken("껔", single_word=True, normalized=True, special=False)]
    tokenizer.add_tokens([*words, AddedToken("れ", normalized=False, special=False)])
    path = str(tmp_path / "added.json")
    tokenizer.save(path)
    for text in ("껔れ껔", "껔 껔a れ껔"):
        assert encoder(load_tokenizer(path))([text])[0].tolist() == expected_ids(path, text)


def test_a_differing_backend_is_found(byte_level: str) -> None:
    texts = probe_texts(["<|end|>"])
    ids, offsets = encoder(load_tokenizer(byte_level))(texts)
    changed = ids.copy()
    changed[offsets[3]] += 1
    assert first_difference(texts, (ids, offsets), (ids, offsets)) is None
    assert repr(texts[3]) in str(first_difference(texts, (changed, offsets), (ids, offsets)))


def test_sentencepiece_gives_its_own_ids(folder: Path) -> None:
    path = tokenizer_files.sentencepiece_model(folder)
    processor = sentencepiece.SentencePieceProcessor(model_file=path)
    ids, offsets = encoder(load_tokenizer(path))(tokenizer_files.TEXTS)
    rows = [ids[a:b].tolist() for a, b in pairwise(offsets)]
    assert rows == [processor.encode(text) for text in tokenizer_files.TEXTS]


def test_a_spec_travels_and_its_encoder_is_built_once(byte_level: str) -> None:
    spec = load_tokenizer(byte_level)
    copy = pickle.loads(pickle.dumps(spec))  # noqa: S301 - pickled in the line itself
    assert (copy, copy.payload) == (spec, spec.payload)
    assert encoder(copy) is encoder(spec)
    assert "payload" not in repr(spec)


@pytest.mark.parametrize(
    ("name", "content", "backend", "message"),
    [
        ("absent.json", None, "auto", "cannot be read"),
        ("hdfs2://host/tokenizer.json", None, "auto", "has the scheme 'hdfs2'"),
        ("broken.json", b'{"model": {"type"', "auto", "is not JSON"),
        ("binary.json", b"\xff\xfe\x00", "auto", "is not JSON"),
        ("packed.json", gzip.compress(b'{"model": {}}', mtime=0), "auto", "is not JSON"),
        ("deep.json", b'{"model": ' * 100_000, "auto", "is not JSON"),
        ("x" * 300, None, "auto", "cannot be read"),
        ("vocab.json", b'{"the": 0}', "auto", "has no 'model'"),
        ("odd.json", b'{"model": {"type": "BPE"}}', "auto", "cannot use it"),
        ("random.json", b'{"model": {"type": "BPE", "dropout": 0.1}}', "auto", "model.dropout"),
        (
            "none.json",
            b'{"model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": []}',
            "auto",
            "no token for any",
        ),
        (
            "end.json",
            b'{"model": {"type": "BPE", "vocab": {"a": 16777216}, "merges": []}}',
            "auto",
            "an? .*id 16777216",
        ),
        ("empty.model", b"", "auto", "no SentencePiece model"),
        ("packed.model", gzip.compress(b"x", mtime=0), "auto", "no SentencePiece model"),
        ("EMPTY.MODEL", b"", "auto", "no SentencePiece model"),
        ("broken.model", b"version https://git-lfs", "auto", "no SentencePiece model"),
        ("other.model", b"", "fastokens", "read by sentencepiece, not by fastokens"),
        ("other.json", b"{}", "sentencepiece", "reads a .model"),
        ("other.json", b"{}", "quick", "one of auto, byte_level, fastokens"),
    ],
)
def test_what_is_no_tokenizer_is_refused(
    tmp_path: Path, name: str, content: bytes | None, backend: str, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        load_tokenizer(name if "://" in name else str(tmp_path / name), backend)


@pytest.mark.parametrize("byte", [b"\xff", b"\x80", b"\xc3"])
def test_a_sentencepiece_model_with_a_piece_that_is_not_utf8_is_refused(tmp_path: Path, byte: bytes) -> None:
    path = Path(tokenizer_files.sentencepiece_model(tmp_path))
    model = path.read_bytes()
    space = "\u2581".encode()
    assert space in model
    path.write_bytes(model.replace(space, space[:1] + byte + b"x", 1))
    with pytest.raises(TokenizerError, match=r"is damaged \(a piece is not UTF-8: .*; copy it again"):
        load_tokenizer(str(path))


@pytest.mark.parametrize(
    ("blank", "other", "is_refused"),
    [
        ({"lstrip": True}, {"rstrip": True}, True),
        ({"lstrip": True}, {"rstrip": True, "special": True}, False),
        ({"rstrip": True}, {"lstrip": True}, False),
        ({}, {"lstrip": True, "rstrip": True}, False),
    ],
)
def test_added_tokens_at_which_the_library_panics_are_refused(
    tmp_path: Path, blank: dict[str, bool], other: dict[str, bool], is_refused: bool
) -> None:
    path = tokenizer_files.byte_level(tmp_path)
    tokenizer = Tokenizer.from_file(path)
    tokenizer.add_tokens([AddedToken("\n\n", normalized=False, **blank)])
    (tokenizer.add_special_tokens if other.get("special") else tokenizer.add_tokens)([AddedToken("[x]", **other)])
    tokenizer.save(path)
    if is_refused:
        with pytest.raises(TokenizerError, match=r"an added token of white space with lstrip.*set its lstrip to false"):
            load_tokenizer(path, "reference")
    else:
        assert len(encoder(load_tokenizer(path, "reference"))(["a[x]   \n\n  [x]\n\n\n\n [x]"])[0])


SHORTER_THAN_ITS_MARK = {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]], "continuing_subword_prefix": "##"}


@pytest.mark.parametrize("change", [{"unk_id": None}, {"type": "BPE", **SHORTER_THAN_ITS_MARK}])
@pytest.mark.parametrize("backend", ["auto", "reference", "fastokens"])
def test_a_tokenizer_that_fails_on_a_text_is_refused(tmp_path: Path, change: dict[str, Any], backend: str) -> None:
    """Without a token for unknown characters; with a merge at which the library panics."""
    path = Path(tokenizer_files.unigram(tmp_path))
    config = json.loads(path.read_text(encoding="utf-8"))
    config["model"] |= change
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(TokenizerError, match="cannot use it"):
        load_tokenizer(str(path), backend)


def test_a_folder_is_refused_and_a_uri_is_read(tmp_path: Path, byte_level: str) -> None:
    with pytest.raises(TokenizerError, match="is a folder"):
        load_tokenizer(str(tmp_path))
    with pytest.raises(TokenizerError, match="is a folder"):
        load_tokenizer(tmp_path.as_uri())
    assert load_tokenizer(f"file://{byte_level}") == load_tokenizer(byte_level)
