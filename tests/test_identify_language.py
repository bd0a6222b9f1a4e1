"""Languages of documents that do not name theirs: one, several, or none to go by."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pivot_udfs import identify_language as module
from pivot_udfs.errors import ConfigError
from pivot_udfs.identify_language import SAMPLE_CHARS, identify_language

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
FOUR = ("en", "fr", "zh", "ja")


@pytest.mark.parametrize("candidates", [None, FOUR])
@pytest.mark.parametrize("language", FOUR)
def test_one_language(language: str, candidates: tuple[str, ...] | None) -> None:
    assert identify_language("\n".join(LINES[language]), candidates) == language
    assert identify_language("\n".join(LINES[language] * 100), candidates) == language
    assert identify_language(" ".join(LINES[language]), candidates) == language


@pytest.mark.parametrize("pair", [("en", "fr"), ("en", "zh"), ("en", "ja"), ("fr", "ja")])
@pytest.mark.parametrize("repeats", [1, 60])
def test_parallel_lines_are_of_several_languages(pair: tuple[str, str], repeats: int) -> None:
    lines = [line for both in zip(LINES[pair[0]], LINES[pair[1]], strict=True) for line in both]
    assert identify_language("\n".join(lines * repeats), None) == "mul"
    assert identify_language("\n".join(lines * repeats), FOUR) == "mul"


def test_a_quotation_does_not_make_a_text_bilingual() -> None:
    assert identify_language("\n".join([*LINES["fr"] * 3, LINES["en"][0]]), None) == "fr"


@pytest.mark.parametrize("text", ["", " \n\t", "12 345.67 !?", "-- 100 % --\n" * 500])
def test_text_without_letters_is_undetermined(text: str) -> None:
    assert identify_language(text, None) == "und"


@given(st.text(max_size=200))
@settings(max_examples=40, deadline=None)
def test_any_text_gets_a_code(text: str) -> None:
    assert identify_language(text, FOUR) in {*FOUR, "mul", "und"}


def test_unknown_candidates_are_refused() -> None:
    with pytest.raises(ConfigError, match="xx cannot be identified"):
        identify_language("some text", ("en", "xx"))


def test_work_is_bounded_whatever_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Counting:
        def classify(self, text: str) -> tuple[str, float]:
            seen.append(len(text))
            return "en", 1.0

        def rank(self, text: str) -> list[tuple[str, float]]:
            seen.append(len(text))
            return [("en", 0.9), ("fr", 0.1)]

    monkeypatch.setattr(module, "_identifier", lambda candidates: Counting())
    monkeypatch.setattr(module, "_line_identifier", Counting)
    identify_language("A line that has quite a few letters in it.\n" * 100_000, None)
    assert sum(seen) <= 3 * SAMPLE_CHARS


def test_the_sample_reaches_the_end() -> None:
    assert identify_language("0" * 5_000 + "\n".join(LINES["ja"]), FOUR) == "ja"
