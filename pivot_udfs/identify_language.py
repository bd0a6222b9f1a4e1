"""The language of a document whose shard does not name it, by py3langid, at a bounded cost.

A sample from the start, the middle and the end is identified as a whole; then its longer lines one by one,
since bilingual text (parallel lines, quoted originals) looks like either language as a whole.
"""

import copy
from collections import defaultdict
from functools import lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pivot_udfs.errors import ConfigError

SAMPLE_CHARS = 2_000
"""Characters of a document that are looked at, at most."""
MULTILINGUAL = "mul"
UNDETERMINED = "und"

_NO_LANGUAGE = "zxx"  # the library's label of code and numbers
_SLICES = 3
_MAX_LINES = 24
_LINE_BYTES = 15  # letters of a line in UTF-8: shorter lines are guesses
_LINE_CHARS = 120
_MIN_ODDS = 0.9  # of the second language against the first, for a line to be of it
_MIN_PROBABILITY = 0.4  # of the second language, mean of its lines
_MIN_LINES = 3  # of the second language
_MIN_SHARE = 0.25  # of the bytes of both languages, for the second


def identify_language(text: str, candidates: tuple[str, ...] | None = None) -> str:
    """The language of a text.

    Args:
        text: any text.
        candidates: ISO 639-1 codes to choose from; None: all that the library knows.

    Returns:
        An ISO 639-1 code; ``mul`` where a second language holds at least a quarter of the longer lines;
        ``und`` where there are no letters to go by.

    Raises:
        ConfigError: a candidate is not known to the library.
    """
    sample = _sample(text)
    if not any(map(str.isalpha, sample)):
        return UNDETERMINED
    identifier = _identifier(candidates)
    if _is_multilingual(sample, candidates):
        return MULTILINGUAL
    return str(identifier.classify(sample)[0])


def _sample(text: str) -> str:
    """At most ``SAMPLE_CHARS`` characters: all, or equal parts of the start, the middle and the end."""
    if len(text) <= SAMPLE_CHARS:
        return text
    width = SAMPLE_CHARS // _SLICES
    starts = [(len(text) - width) * k // (_SLICES - 1) for k in range(_SLICES)]
    return "\n".join(text[start : start + width] for start in starts)


@lru_cache(maxsize=1)
def _model() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@lru_cache(maxsize=8)
def _identifier(candidates: tuple[str, ...] | None) -> LanguageIdentifier:
    """An identifier restricted to some languages; the model is read once a process."""
    known = {label for label in _model().labels if len(label) == 2}
    unknown = sorted(set(candidates or ()) - known)
    if unknown:
        raise ConfigError(
            f"languages {', '.join(unknown)} cannot be identified; give documents of them a lang field, or "
            f"choose among {', '.join(sorted(known))}"
        )
    identifier = copy.copy(_model())
    identifier.set_languages(candidates or known)
    return identifier


@lru_cache(maxsize=1)
def _line_identifier() -> LanguageIdentifier:
    """For single lines, never restricted: code and foreign names must have somewhere else to go."""
    identifier = copy.copy(_model())
    identifier.set_languages({label for label in identifier.labels if len(label) == 2} | {_NO_LANGUAGE})
    return identifier


def _is_multilingual(sample: str, candidates: tuple[str, ...] | None) -> bool:
    """Whether a second language is sure of enough lines and holds enough of them."""
    lines = [(dict(_line_identifier().rank(line)), size) for line, size in _long_lines(sample)]
    mass: defaultdict[str, float] = defaultdict(float)
    for probabilities, size in lines:
        for language, probability in probabilities.items():
            mass[language] += probability * size
    ranked = sorted(candidates or mass.keys() - {_NO_LANGUAGE}, key=lambda language: -mass[language])
    if not lines or len(ranked) < 2:
        return False
    first, second = ranked[:2]
    both = [(p[first], p[second], size) for p, size in lines]
    theirs = [(q, size) for p, q, size in both if q >= _MIN_ODDS * (p + q)]
    sure = sum(q for q, _ in theirs) >= _MIN_PROBABILITY * len(theirs)
    share = sum(size for _, size in theirs) / sum(size for _, _, size in both)
    return len(theirs) >= _MIN_LINES and sure and share >= _MIN_SHARE


def _long_lines(sample: str) -> list[tuple[str, int]]:
    """Lines with enough letters, evenly over the sample, each with the UTF-8 size of its letters."""
    lines = [line[:_LINE_CHARS] for line in sample.splitlines()]
    sized = [(line, len("".join(filter(str.isalpha, line)).encode("utf-8", "replace"))) for line in lines]
    enough = [(line, size) for line, size in sized if size >= _LINE_BYTES]
    # Whole pairs are kept together: parallel text alternates, and an even step would see one language only.
    if len(enough) <= _MAX_LINES:
        return enough
    pairs = range(len(enough) // 2)
    step = len(pairs) * 2 / _MAX_LINES
    return [enough[2 * int(k * step) + half] for k in range(_MAX_LINES // 2) for half in range(2)]
