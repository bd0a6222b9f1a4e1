"""The lexicon: what a TSV can be, what it must not be, and what counts as one word."""

import csv
import io
import pickle
import unicodedata
from pathlib import Path

import counted
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.errors import LexiconError
from pivot_udfs.matching.lexicon import (
    Lexicon,
    clean_cell,
    describe_missing,
    load_lexicon,
    parse_lexicon,
    surface_forms,
)

BASE = "en\tpos\tfr\nwater\tn\teau\ncat\tn\tchat\n"


def parse(text: str | bytes, *languages: str) -> Lexicon:
    return parse_lexicon(text if isinstance(text, bytes) else text.encode(), languages or ("en", "fr"))


def pairs(lexicon: Lexicon) -> list[list[str | None]]:
    return [[lexicon.words[word][1] if word >= 0 else None for word in concept] for concept in lexicon.concepts]


def test_words_and_concepts() -> None:
    lexicon = parse(BASE, "fr", "en", "fr")
    assert lexicon.languages == ("en", "fr")
    assert lexicon.words == (("en", "cat"), ("en", "water"), ("fr", "chat"), ("fr", "eau"))
    assert lexicon.concepts == ((1, 3), (0, 2))
    assert lexicon.word_languages() == [0, 0, 1, 1]
    assert pickle.loads(pickle.dumps(lexicon)) == lexicon  # noqa: S301


@pytest.mark.parametrize(
    "payload",
    [
        b"\xef\xbb\xbf" + BASE.encode(),
        BASE.replace("\n", "\r\n").encode(),
        BASE.rstrip("\n").encode(),
        BASE.replace("\n", "\n\n").encode() + b"\t\t\n",
        BASE.replace("water", " water ").replace("\tfr", "\t fr ").encode(),
        BASE.encode("utf-16"),
        b"\xfe\xff" + BASE.encode("utf-16-be"),
        BASE.replace("\n", "\r").encode(),
        BASE.replace("\n", "\t\t\n").encode(),
        BASE.replace("eau\n", "eau\t\t\n").encode(),
        BASE.replace("water", '"water"').replace("en\t", '"en"\t').replace("chat", '"chat"').encode(),
        BASE.replace("water", '" water\u00a0"').encode(),
        BASE.replace("water", '"water\n"').replace("chat", '"\r\nchat"').encode(),
        BASE.replace("water", "wa\u00adter\u200b").replace("eau", "\u200eeau\ufeff").encode(),
        BASE.replace("water", "\u3000water\u202f").encode(),
        BASE.replace("en\t", "En\t").replace("\tfr", "\tFR").encode(),
    ],
    ids=[
        "byte order mark",
        "CRLF",
        "no newline at the end",
        "empty rows",
        "spaces around cells",
        "UTF-16, little-endian",
        "UTF-16, big-endian",
        "CR",
        "empty columns at the end",
        "more empty cells in one row",
        "quoted cells",
        "white space inside quotes",
        "line ends inside quotes",
        "invisible characters",
        "wide and narrow spaces",
        "capitals in the header",
    ],
)
def test_harmless_variants_are_the_same_words(payload: bytes) -> None:
    lexicon = parse(payload)
    assert (lexicon.words, lexicon.concepts) == (parse(BASE).words, parse(BASE).concepts)
    assert lexicon.sha256 != parse(BASE).sha256


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ('"ice ""cream"""', 'ice "cream"'),
        ('""""', '"'),
        ('"ice cream" ', "ice cream"),
        (' "ice, cream"\u00a0', "ice, cream"),
        ('\ufeff"ice" \u200b', "ice"),
        ('"ice" cream ', '"ice" cream'),
        ('"a" b', '"a" b'),
        ('5"', '5"'),
        ('12" disc', '12" disc'),
        ('a"b"c', 'a"b"c'),
        ('"unclosed', '"unclosed'),
        ('"ice\tcream"', "ice cream"),
        ('"ice\ncream"', "ice cream"),
        ('"ice\r\n cream"', "ice cream"),
        ("ice  \u00a0 cream", "ice cream"),
        ("l\u2019eau", "l\u2019eau"),
    ],
)
def test_cells_are_read_as_spreadsheets_quote_them(cell: str, word: str) -> None:
    lexicon = parse(f"{BASE}{cell}\tn\tx\n{cell}\tn\ty\n")
    assert pairs(lexicon)[2:] == [[word, "x"], [word, "y"]]


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ("\u200c\u06a9\u200c\u0628\u200d", "\u06a9\u200c\u0628"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("\U0001f468\u200d\U0001f467", "\U0001f468\u200d\U0001f467"),
        (" \u200d a", "a"),
        ("a\x00\x07b\x1fc\x85d", "ab c d"),
        ("\u2066a\u2069\u061c", "a"),
        ("\u00ad\u200b\ufeff", ""),
    ],
)
def test_cells_lose_invisible_characters_but_not_those_that_change_the_word(cell: str, word: str) -> None:
    assert clean_cell(cell) == word


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_cleaning_a_cell_twice_changes_nothing(cell: str) -> None:
    assert clean_cell(clean_cell(cell)) == clean_cell(cell)


@given(st.lists(st.text('ab" \t\n', max_size=6), min_size=2, max_size=2))
def test_what_a_csv_writer_quotes_is_read_back(cells: list[str]) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter="\t", lineterminator="\n").writerow(cells)
    both = any("\t" in cell and "\n" in cell for cell in cells)
    wanted = [clean_cell(cell) for cell in cells]
    if not both and all(wanted):
        assert pairs(parse("en\tfr\n" + written.getvalue())) == [wanted]


def test_empty_cells_are_no_words() -> None:
    lexicon = parse(BASE + "dog\tn\t\n\tn\toiseau\n")
    assert pairs(lexicon)[2:] == [["dog", None], [None, "oiseau"]]


def test_one_word_in_many_spellings_is_named_by_the_first() -> None:
    lexicon = parse(BASE + "Water\tn\tE\u0301TE\u0301\nWATER\tv\tété\nwater\t\tÉté\n")
    assert [word for _, word in lexicon.words if word.lower() == "water"] == ["water"]
    assert [word for lang, word in lexicon.words if lang == "fr"] == ["E\u0301TE\u0301", "chat", "eau"]
    assert pairs(lexicon)[2:] == [["water", "E\u0301TE\u0301"]] * 3


def test_the_same_surface_in_two_languages_is_two_words() -> None:
    assert parse("zh\tja\n水\t水\n", "zh", "ja").words == (("ja", "水"), ("zh", "水"))


@pytest.mark.parametrize(
    ("payload", "languages", "message"),
    [
        (BASE.encode(), ("en", "de"), "no column de; its columns are en, pos, fr"),
        (b"", ("en", "fr"), "no column en, fr; its columns are none"),
        ((BASE + "dog\tn\n").encode(), ("en", "fr"), "1 rows are not 3 cells wide.*row 4 has 2.*one tab"),
        ((BASE + "dog\tn\tchien\tx\n").encode(), ("en", "fr"), "row 4 has 4"),
        ((BASE + "\n\t\t\ndog\tn\n").encode(), ("en", "fr"), "row 6 has 2"),
        ((BASE.replace("\n", "\r\n") + "\r\ndog\tn\r\n").encode(), ("en", "fr"), "row 5 has 2"),
        (BASE.encode("utf-16-le"), ("en", "fr"), "not UTF-8.*NUL.*save it as UTF-8"),
        (BASE.encode("utf-16") + b"a", ("en", "fr"), "not UTF-8.*save it as UTF-8"),
        ((BASE + 'x\tn\t"y\nz"\nw\tn\n').encode(), ("en", "fr"), "row 6 has 2"),
        ("en\tfr\nl'été\té\n".encode("latin-1"), ("en", "fr"), "not UTF-8"),
        (b"PK\x03\x04\x14\0", ("en", "fr"), "is a spreadsheet.*save it as tab-separated text in UTF-8"),
        (b"en\tfr\n", ("en", "fr"), "no row with words in two of en, fr"),
        (b"en\tfr\na\t\n\tb\n", ("en", "fr"), "no row with words in two"),
        (BASE.replace("\t", ",").encode(), ("en", "fr"), "no column"),
        (BASE.replace("pos", " fr ").encode(), ("en", "fr"), "has several columns fr: keep one"),
        (BASE.replace("pos", "Fr").encode(), ("en", "fr"), "has several columns fr: keep one"),
    ],
)
def test_errors_name_what_is_wrong(payload: bytes, languages: tuple[str, ...], message: str) -> None:
    with pytest.raises(LexiconError, match=message):
        parse(payload, *languages)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with (tmp_path / "large.tsv").open("wb") as large:
        large.truncate(1 << 40)  # a hole, which takes no disk
    for path in (tmp_path / "no.tsv", tmp_path, Path("/dev/zero"), tmp_path / "large.tsv"):
        with pytest.raises(LexiconError, match=r"lexicon.path.*cannot be read.*TSV"):
            load_lexicon(str(path), ["en", "fr"])


@pytest.mark.parametrize("path", ["abfss://store/lexicon.tsv", "s3://"])
def test_an_unreachable_store_is_reported_for_lexicon_path(path: str) -> None:
    with pytest.raises(LexiconError, match=r"^lexicon\.path = .*cannot be read: .*; give a TSV file") as caught:
        load_lexicon(path, ["en", "fr"])
    assert "corpus.inputs" not in str(caught.value)


def test_words_that_occur_nowhere_are_counted_with_examples() -> None:
    lexicon = parse("en\tfr\n" + "".join(f"a{k}\tb{k}\n" for k in range(10)))
    found = [("en", f"a{k}") for k in range(10)] + [("fr", "b0"), ("de", "b1")]
    message = describe_missing(lexicon, found)
    assert message is not None
    assert message.startswith("9 of 20 lexicon words occur in no document, for example b1 (fr), b3 (fr)")
    assert describe_missing(lexicon, lexicon.words) is None


def test_rows_that_repeat_another_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "l.tsv"
    path.write_text("en\tfr\nwater\teau\ncat\t\ncat\t\nsea\teau\n", encoding="utf-8")
    load_lexicon(str(path), ["en", "fr"])
    assert not caplog.messages
    path.write_text("en\tfr\tpos\nwater\teau\tn\nWater\tEAU\tv\nwater\te\u0301\tn\n", encoding="utf-8")
    assert len(load_lexicon(str(path), ["en", "fr"]).concepts) == 3
    assert "1 rows have the words of another row" in caplog.messages[0]


@pytest.mark.parametrize("row", ["été\teau\tn\t\t", "e\u0301te\u0301\tEau\tN", ' ÉTÉ\t"eau"\tn\u200b'])
def test_a_row_that_is_there_twice_is_one_concept(row: str) -> None:
    lexicon = parse(f"en\tfr\tpos\nété\teau\tn\n{row}\nété\teau\tv\n\teau\tn\n")
    assert pairs(lexicon) == [["été", "eau"], [None, None], ["été", "eau"], [None, "eau"]]


def test_the_sample_lexicon() -> None:
    lexicon = load_lexicon(str(counted.SAMPLES / "lexicon.tsv"), ["zh", "en", "ja", "fr"])
    assert len(lexicon.concepts) == len(counted.sample_rows()) == 1_887
    assert list(lexicon.words) == sorted(lexicon.words)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8))
def test_spellings_that_differ_in_form_have_the_same_first_surface(word: str) -> None:
    forms = surface_forms(word)
    assert len(set(forms)) == len(forms) > 0
    for kind in ("NFC", "NFD"):
        assert surface_forms(unicodedata.normalize(kind, word)) == forms
