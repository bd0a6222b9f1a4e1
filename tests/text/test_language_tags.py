"""Language tags: every way to write one language gives one code, and what is no tag gives none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.text.language_tags import language_of

WRITTEN = {
    "en": ["en", "EN", "en-US", "en_GB", "eng", "eng_Latn", "ENG", " en "],
    "fr": ["fr", "fra", "fre", "fr-CA", "fr-ca-x-quebec"],
    "zh": ["zh", "zh-Hans", "zh_TW", "zho", "chi", "cmn", "cmn-Hans-CN"],
    "ja": ["ja", "jpn", "ja-JP", "jpn_Jpan"],
    "de": ["ger", "deu", "de-1996"],
    "he": ["iw", "heb"],
    "ar": ["arb_Arab", "ara"],
    "nb": ["nob"],
    "yue": ["yue", "yue-HK"],
    "mul": ["mul", "MUL"],
    "und": ["und"],
    "xx": ["xx"],
}


@pytest.mark.parametrize(("language", "tag"), [(language, tag) for language, tags in WRITTEN.items() for tag in tags])
def test_every_way_to_write_a_language(language: str, tag: str) -> None:
    assert language_of(tag) == language


NO_TAGS = ["", " ", "e", "english", "French", "en-", "-en", "en--US", "en US", "en,fr", "fr\n-CA", "日本語", "12"]


@pytest.mark.parametrize("tag", [*NO_TAGS, "en-longsubtag", "en" + "-variant" * 5, "x-private", "\u212aok"])
def test_what_is_no_tag(tag: str) -> None:
    assert language_of(tag) is None


@given(st.text(max_size=40))
def test_what_comes_out_stays_as_it_is(tag: str) -> None:
    language = language_of(tag)
    assert language is None or (len(language) in (2, 3) and language_of(language) == language)
