"""Hits equal the brute-force oracle's, text by text and place by place."""

import random

import counted
import oracle
import pyarrow as pa
import pytest
from counted import Document
from hypothesis import given, settings
from hypothesis import strategies as st
from word_cases import TINY, TRAPS, WORDS

from pivot_udfs.matching.match_words import WordMatcher, word_matcher

LANGUAGES = ("de", "en", "fr", "ja", "zh")
ROWS = [
    {"en": "man", "fr": "espan", "de": "straße"},
    {"en": "C++", "fr": "aujourd'hui", "de": "ß"},
    {"en": "ice cream", "fr": "sœur", "de": "cream"},
    {"en": "_x", "fr": "irma\u0303", "de": "ǆ"},
    {"en": "e", "fr": "é", "ja": "カ", "zh": "々"},
    {"en": "1", "fr": "ﬁ", "ja": "ー", "zh": "人々"},
]


def found(
    documents: list[Document], rows: counted.Rows, languages: tuple[str, ...], shared: str
) -> list[list[oracle.Hit]]:
    lexicon = counted.lexicon_of(rows, languages)
    texts = pa.array([text for _, text in documents], pa.string())
    hits = WordMatcher(lexicon, shared).find(texts, [lang for lang, _ in documents])
    places = list(zip(hits.docs.tolist(), hits.byte_starts.tolist(), strict=True))
    assert places == sorted(places)
    rows_found: list[list[oracle.Hit]] = [[] for _ in documents]
    for doc, word, start, end in zip(*(column.tolist() for column in hits), strict=True):
        raw = documents[doc][1].encode()
        chars = [len(raw[:place].decode()) for place in (start, end)]
        rows_found[doc].append(oracle.Hit(*lexicon.words[word], *chars))
    return rows_found


def check(
    documents: list[Document], rows: counted.Rows, languages: tuple[str, ...], shared: str = "document_language"
) -> None:
    forms = counted.forms_of(rows, languages)
    wanted = [sorted(oracle.find_hits(text, lang, forms, shared)) for lang, text in documents]
    assert [sorted(hits) for hits in found(documents, rows, languages, shared)] == wanted


def words_in(text: str, lang: str = "en", rows: counted.Rows = ROWS) -> list[str]:
    hits = found([(lang, text)], rows, LANGUAGES, "document_language")[0]
    return [f"{hit.lang}:{hit.word}" for hit in sorted(hits, key=lambda hit: hit.start)]


@pytest.mark.parametrize("shared", ["document_language", "all"])
def test_traps(shared: str) -> None:
    check(TRAPS, WORDS, counted.LANGUAGES, shared)


def test_real_text() -> None:
    draw = random.Random(11)  # noqa: S311
    documents = [(lang, text[:800]) for _, texts in counted.sample_texts() for lang, text in draw.sample(texts, 6)]
    check(documents, counted.sample_rows(), counted.LANGUAGES)


@given(
    documents=st.lists(
        st.tuples(
            st.sampled_from([*LANGUAGES, "mul"]),
            st.lists(
                st.sampled_from([*"abkKßeE_1'人々カー水学生 ", "ẞ", "e\u0301", "\u0303", "İ", "man", "ice"]),
                max_size=20,
            ).map("".join),
        ),
        max_size=5,
    ),
    shared=st.sampled_from(["document_language", "all"]),
)
@settings(max_examples=150)
def test_generated_text(documents: list[Document], shared: str) -> None:
    check(documents, [*ROWS, *TINY], LANGUAGES, shared)


NESTED = [
    {"en": "a", "fr": "grand-père", "zh": "水"},
    {"en": "a b", "fr": "grand", "zh": "水a"},
    {"en": "a b-a", "fr": "père", "zh": "a水"},
    {"en": "b", "fr": "-", "zh": "水a b"},
    {"en": "b-a b", "fr": "d-p", "zh": "aa"},
]
"""Words that contain words, so that a match that breaks the edge rule could hide others."""
NESTED_PIECES = [*"ab水- s", "grand", "père", "grand-père", "a b"]


@given(
    documents=st.lists(
        st.tuples(st.sampled_from(["mul", "zh"]), st.lists(st.sampled_from(NESTED_PIECES), max_size=14).map("".join)),
        max_size=4,
    ),
    shared=st.sampled_from(["document_language", "all"]),
)
@settings(max_examples=300)
def test_words_within_words(documents: list[Document], shared: str) -> None:
    check(documents, NESTED, counted.LANGUAGES, shared)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("man", ["en:man"]),
        ("man\u0303ana", []),
        ("espan\u0303a", []),
        ("mañana man", ["en:man"]),
        ("man人man", ["en:man", "en:man"]),
        ("man2 2man man_ man-man", ["en:man", "en:man"]),
        ("C++ C++11 (C++)", ["en:C++", "en:C++"]),
        ("aujourd'hui aujourd'huis", ["fr:aujourd'hui"]),
        ("IRMÃ irma\u0303s irmã", ["fr:irma\u0303", "fr:irma\u0303"]),
        ("STRASSE Straße STRA\u1e9eE", ["de:straße", "de:straße"]),
        ("人々 人々々", ["zh:人々", "zh:人々", "zh:々"]),
        ("カ゛ カード", ["ja:カ", "ja:カ", "ja:ー"]),
        ("ice creams", []),
        ("ice cream", ["en:ice cream", "de:cream"]),
        ("ǅ Ǆ", ["de:ǆ", "de:ǆ"]),
        ("", []),
    ],
)
def test_edges(text: str, words: list[str]) -> None:
    assert words_in(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grand-pères", ["fr:grand"]),
        ("grand-père", ["fr:grand-père"]),
        ("grands-père", ["fr:père"]),
        ("grand-père-grand-pères", ["fr:grand-père", "fr:grand"]),
        ("水abc水", ["en:水", "en:水"]),
        ("水ab", ["en:水ab"]),
        ("a b-ac", ["en:a", "en:b"]),
    ],
)
def test_a_match_that_breaks_the_edge_rule_consumes_nothing(text: str, words: list[str]) -> None:
    rows = [
        {"en": "水ab", "fr": "grand-père"},
        {"en": "水", "fr": "grand"},
        {"en": "a b-a", "fr": "père"},
        {"en": "a", "fr": "x"},
        {"en": "b", "fr": "y"},
    ]
    assert words_in(text, "mul", rows) == words


def test_a_match_of_another_language_s_surface_consumes_its_span() -> None:
    rows = [{"zh": "水学", "ja": "水学"}, {"zh": "水", "ja": "x"}, {"zh": "学", "ja": "y"}]
    assert words_in("水学", "ja", rows) == ["ja:水学"]
    assert words_in("水学学", "ja", rows) == ["ja:水学", "zh:学"]
    assert words_in("水学", "zh", rows) == ["zh:水学"]


def test_a_lexicon_of_many_languages() -> None:
    """More languages than a 64-bit mask holds."""
    languages = [f"l{number:02}" for number in range(70)]
    rows = [{language: f"word{k % 7}" for k, language in enumerate(languages)}, dict.fromkeys(languages, "shared")]
    lexicon = counted.lexicon_of(rows, languages)
    texts = pa.array(["shared word3 shared", "shared"], pa.string())
    hits = WordMatcher(lexicon, "document_language").find(texts, ["l69", "en"])
    assert [lexicon.words[word] for word in hits.words[hits.docs == 0].tolist()] == [
        ("l69", "shared"),
        *((f"l{k:02}", "word3") for k in range(3, 70, 7)),
        ("l69", "shared"),
    ]
    assert hits.docs.tolist().count(1) == 70


def test_shared_surfaces() -> None:
    rows = [{"zh": "水", "ja": "水", "en": "table", "fr": "Table"}]
    assert words_in("水", "zh", rows) == ["zh:水"]
    assert words_in("水", "ja", rows) == ["ja:水"]
    assert sorted(words_in("水", "mul", rows)) == sorted(words_in("水", "en", rows)) == ["ja:水", "zh:水"]
    assert words_in("TABLE", "fr", rows) == ["fr:Table"]


def test_the_matcher_is_built_once_for_one_lexicon() -> None:
    lexicon = counted.lexicon_of(WORDS)
    assert word_matcher(lexicon, "all") is word_matcher(counted.lexicon_of(WORDS), "all")
    assert word_matcher(lexicon, "all") is not word_matcher(lexicon, "document_language")


def test_sliced_and_empty_columns() -> None:
    matcher = WordMatcher(counted.lexicon_of(WORDS), "all")
    texts = pa.array(["water", "eau", "", "cat"])
    hits = matcher.find(texts.slice(1, 3), ["en"] * 3)
    assert (hits.docs.tolist(), hits.byte_starts.tolist(), hits.byte_ends.tolist()) == ([0, 2], [0, 0], [3, 3])
    assert matcher.find(pa.array([], pa.string()), []).docs.tolist() == []
