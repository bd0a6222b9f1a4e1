"""Languages of documents that do not name theirs: one, several, or none to go by."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pivot_udfs.text import language_kernel
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


@pytest.fixture(scope="module")
def library() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages({label for label in identifier.labels if len(label) == 2 or label == "zxx"})
    return identifier


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


@pytest.mark.parametrize("text", ["", " \n\t", "12 345.67 !?", "-- 100 % --\n" * 500])
def test_text_without_letters_is_undetermined(text: str) -> None:
    assert identify(text) == "und"


@given(st.lists(TEXTS, max_size=5))
@settings(max_examples=60)
def test_a_text_has_its_language_whatever_stands_beside_it(texts: list[str]) -> None:
    together = identify_languages(texts)
    assert together == [identify(text) for text in texts]
    assert set(together) <= {*language_model()[0], "mul", "und"}


@given(text=TEXTS)
@settings(max_examples=60)
@example(text="\n".join(line for lines in LINES.values() for line in lines * 4))
def test_probabilities_are_the_librarys(library: LanguageIdentifier, text: str) -> None:
    labels, model = language_model()
    data = np.frombuffer(library._encode(text), np.uint8)
    counts, found = np.zeros(len(model.weights), np.int32), np.empty(len(labels) + 1, np.float32)
    language_kernel.probabilities(data, 0, data.size, model, counts, found)
    expected = dict(library.rank(text))  # both add up thousands of float32, in another order
    assert dict(zip([*labels, "zxx"], found.tolist(), strict=True)) == pytest.approx(expected, rel=0.02, abs=1e-5)
    assert not counts.any()


def test_work_is_bounded_whatever_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(language_kernel, "identify", lambda data, *rest: (sizes.append(data.size), rest[-1].fill(0)))
    identify_languages(["A line that has quite a few letters in it.\n" * 100_000] * 2)
    assert 0 < sum(sizes) <= 2 * SAMPLE_CHARS


def test_the_sample_reaches_the_end() -> None:
    assert identify("0" * 5_000 + "\n".join(LINES["ja"])) == "ja"
