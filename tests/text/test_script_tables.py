"""Character tables agree with Unicode's names and categories, for every code point that Python knows."""

import sys
import unicodedata

import numpy as np
import oracle
import pytest

from pivot_udfs.text.script_tables import fold, fold_table, spaced_table, spaced_word_table

ASSIGNED = [point for point in range(sys.maxunicode + 1) if unicodedata.category(chr(point)) not in ("Cn", "Cs", "Co")]


def test_fold_is_lower_where_that_is_one_character() -> None:
    everything = "".join(map(chr, ASSIGNED))
    assert fold(everything) == oracle.folded(everything)
    assert fold("STRA\u1e9eE \u212a \u0130 ΣΑΣ É") == "stra\u00dfe k \u0130 σασ é"
    assert fold(fold(everything)) == fold(everything)
    table = fold_table()
    assert table.dtype == np.uint32
    assert table.shape == (0x110000,)
    assert "".join(chr(table[point]) for point in ASSIGNED) == fold(everything)


def test_word_characters_of_spaced_scripts() -> None:
    """By script name here, by Unicode's script extensions there; the few that differ are listed by hand."""
    spaced_word = spaced_word_table()
    assert spaced_word.dtype == np.bool_
    assert spaced_word.shape == (0x110000,)
    differ = {
        unicodedata.name(chr(point), hex(point))
        for point in ASSIGNED
        if spaced_word[point] != (oracle.is_word_character(chr(point)) and oracle.is_spaced(chr(point)))
    }
    rare = ("HENTAIGANA", "COUNTING ROD", "HANGZHOU", "IDEOGRAPHIC", "VERTICAL", "VIETNAMESE", "MASU", "OLD CHINESE")
    assert {name for name in differ if not name.startswith(rare) and "IDEOGRAPH" not in name} == set()


def test_case_does_not_change_the_class_of_a_character() -> None:
    """Edges are looked up as the text has them, words as the lexicon has them folded."""
    folded = fold_table()[ASSIGNED]
    for table in (spaced_table(), spaced_word_table()):
        assert np.array_equal(table[ASSIGNED], table[folded])


@pytest.mark.parametrize("char", [*"水々ーのカｶｰ\u3099\u309a〆〇ไ", "ກ", "ក", "က", "\U00020bb7"])
def test_unspaced_scripts(char: str) -> None:
    assert not spaced_table()[ord(char)]
    assert not spaced_word_table()[ord(char)]


@pytest.mark.parametrize("char", [*"aÉßя1²½Ⅷ한ا_Ａ９", "\u0301", "\u0303", "\u0323", "\u02bc", "क"])
def test_word_characters(char: str) -> None:
    assert spaced_table()[ord(char)]
    assert spaced_word_table()[ord(char)]


@pytest.mark.parametrize("char", [*" '’-.,+🙂\n\u200b", "\u00a0"])
def test_other_characters(char: str) -> None:
    assert spaced_table()[ord(char)]
    assert not spaced_word_table()[ord(char)]


def test_every_code_point_has_a_value() -> None:
    for point in (0, 0xD800, 0xE000, 0x10FFFF):
        assert fold_table()[point] == point
        assert not spaced_word_table()[point]
