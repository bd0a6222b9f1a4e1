"""Pivots are marked exactly, in any script."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.token_offsets import token_byte_spans
from pivot_udfs.write_report import Passage, mark_pivots


def marked(text: str, cuts: list[int], pivots: set[int], width: int = 1000) -> Passage:
    """Marks tokens that are given by their cuts in bytes."""
    edges = np.array([0, *cuts, len(text.encode())], np.int64)
    is_pivot = np.array([k in pivots for k in range(len(edges) - 1)], bool)
    return mark_pivots(text, edges[:-1], edges[1:], is_pivot, width)


def test_a_part_of_a_character_marks_the_character() -> None:
    # 水 is three bytes, cut 1 + 2; 河 is cut 2 + 1 with its last byte in a token with "x".
    assert marked("a水b", [1, 2, 4], {1}).segments == (("a", False), ("水", True), ("b", False))
    assert marked("a水b", [1, 2, 4], {2}).segments == (("a", False), ("水", True), ("b", False))
    assert marked("a水b", [1, 2, 4], {1, 2}).segments == (("a", False), ("水", True), ("b", False))
    assert marked("河x水", [2, 4], {1}).segments == (("河x", True), ("水", False))


def test_adjacent_marks_stay_separate_and_exclude_white_space() -> None:
    assert marked("the water flows", [3, 9, 12], {1, 2}).segments == (
        ("the ", False),
        ("water", True),
        (" ", False),
        ("fl", True),
        ("ows", False),
    )
    assert marked("a b", [1, 2], {1}).segments == (("a b", False),)


def test_long_documents_are_cut_around_the_densest_passage() -> None:
    passage = marked("abcdefghij", list(range(1, 10)), {6, 7}, width=3)
    assert passage == Passage((("f", False), ("g", True), ("h", True)), True, True)
    assert mark_pivots("", np.array([], np.int64), np.array([], np.int64), np.array([], bool), 3).segments == ()


@given(st.text(max_size=20), st.data())
def test_marks_cover_exactly_the_characters_of_pivots(text: str, data: st.DataObject) -> None:
    raw = text.encode(errors="ignore")
    text = raw.decode()
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(raw) - 1, 1)), max_size=8))) if len(raw) > 1 else []
    pivots = data.draw(st.sets(st.integers(0, len(cuts))))
    passage = marked(text, cuts, pivots) if raw else Passage((), False, False)
    assert "".join(part for part, _ in passage.segments) == text
    shown = [is_pivot for part, is_pivot in passage.segments for _ in part]
    edges = [0, *cuts, len(raw)]
    pivot_bytes = {byte for k in pivots if raw for byte in range(edges[k], edges[k + 1])}
    place = 0
    for char, is_shown in zip(text, shown, strict=True):
        size = len(char.encode())
        is_pivot = not pivot_bytes.isdisjoint(range(place, place + size))
        assert is_pivot or not is_shown
        assert is_shown or not is_pivot or char.isspace()
        place += size


def test_marks_with_the_real_tokenizer(sample_tokenizer: TokenizerSpec) -> None:
    text = "L'eau, 水 et 龘: water."
    starts, ends = token_byte_spans(sample_tokenizer, text)
    raw = text.encode()
    for k in range(len(starts)):
        segments = mark_pivots(text, starts, ends, np.arange(len(starts)) == k, 1000).segments
        shown = [part for part, is_pivot in segments if is_pivot]
        assert raw[starts[k] : ends[k]].strip() in "".join(shown).encode()
        assert "".join(part for part, _ in segments) == text
