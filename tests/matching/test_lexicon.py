"""The lexicon: what a TSV can be, what it must not be, and what counts as one word."""

import pickle
import unicodedata
from pathlib import Path

import counted
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.errors import LexiconError
from pivot_udfs.matching.lexicon import Lexicon, load_lexicon, parse_lexicon, surface_forms

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
    ],
    ids=["byte order mark", "CRLF", "no newline at the end", "empty rows", "spaces around cells"],
)
def test_harmless_variants_are_the_same_words(payload: bytes) -> None:
    lexicon = parse(payload)
    assert (lexicon.words, lexicon.concepts) == (parse(BASE).words, parse(BASE).concepts)
    assert lexicon.sha256 != parse(BASE).sha256


def test_quotes_are_ordinary_characters() -> None:
    assert ("en", '"a" b') in parse(BASE + '"a" b\tn\tc\n').words


def test_empty_cells_are_no_words() -> None:
    lexicon = parse(BASE + "dog\tn\t\n\tn\toiseau\n")
    assert pairs(lexicon)[2:] == [["dog", None], [None, "oiseau"]]


def test_one_word_in_many_spellings_is_named_by_the_first() -> None:
    lexicon = parse(BASE + "Water\tn\tE\u0301TE\u0301\nWATER\tn\tété\nwater\tn\tÉté\n")
    assert [word for _, word in lexicon.words if word.lower() == "water"] == ["water"]
    assert [word for lang, word in lexicon.words if lang == "fr"] == ["E\u0301TE\u0301", "chat", "eau"]
    assert pairs(lexicon)[2:] == [["water", "E\u0301TE\u0301"]] * 3


def test_the_same_surface_in_two_languages_is_two_words() -> None:
    assert parse("zh\tja\n水\t水\n", "zh", "ja").words == (("ja", "水"), ("zh", "水"))


@pytest.mark.parametrize(
    ("payload", "languages", "told"),
    [
        (BASE.encode(), ("en", "de"), "no column de; its columns are en, pos, fr"),
        (b"", ("en", "fr"), "no column en, fr; its columns are none"),
        ((BASE + "dog\tn\n").encode(), ("en", "fr"), "1 rows are not 3 cells wide.*row 4 has 2.*one tab"),
        ((BASE + "dog\tn\tchien\tx\n").encode(), ("en", "fr"), "row 4 has 4"),
        ((BASE + "\n\t\t\ndog\tn\n").encode(), ("en", "fr"), "row 6 has 2"),
        ((BASE.replace("\n", "\r\n") + "\r\ndog\tn\r\n").encode(), ("en", "fr"), "row 5 has 2"),
        (BASE.encode("utf-16"), ("en", "fr"), "not UTF-8.*save it as UTF-8"),
        ("en\tfr\nl'été\té\n".encode("latin-1"), ("en", "fr"), "not UTF-8"),
        (b"en\tfr\n", ("en", "fr"), "no row with words in two of en, fr"),
        (b"en\tfr\na\t\n\tb\n", ("en", "fr"), "no row with words in two"),
        (BASE.replace("\t", ",").encode(), ("en", "fr"), "no column"),
    ],
)
def test_what_cannot_be_used_is_told(payload: bytes, languages: tuple[str, ...], told: str) -> None:
    with pytest.raises(LexiconError, match=told):
        parse(payload, *languages)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "no.tsv", tmp_path):
        with pytest.raises(LexiconError, match=r"lexicon.path.*cannot be read.*TSV"):
            load_lexicon(str(path), ["en", "fr"])


@pytest.mark.parametrize("path", ["abfss://store/lexicon.tsv", "s3://"])
def test_a_store_that_cannot_be_reached_is_told_as_the_lexicon_s(path: str) -> None:
    with pytest.raises(LexiconError, match=r"^lexicon\.path = .*cannot be read: .*; give a TSV file") as caught:
        load_lexicon(path, ["en", "fr"])
    assert "corpus.inputs" not in str(caught.value)


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
