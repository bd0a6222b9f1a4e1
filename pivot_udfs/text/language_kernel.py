"""The compiled loops of language identification: py3langid's model, without its Python per byte.

The model is naive Bayes over byte n-grams: an automaton reads bytes and names the features that end at each, the
features' weights are added up by the logarithm of their counts, and a softmax, cooler the longer the text, gives
probabilities. Here that is done for a text and for each of its longer lines.

Shape legend: S states, F features, L labels (columns of one language folded into one), P code points, T texts.
"""

from typing import Any, NamedTuple

import numba as nb
import numpy as np

LETTER, LINE_END = 1, 2
"""Kinds of characters; all others are 0."""
UNDETERMINED, MULTILINGUAL = -1, -2
"""What stands for a label where there is none."""

_MAX_LINES = 24
_LINE_BYTES = 15  # letters of a line in UTF-8: shorter lines are guesses
_LINE_CHARS = 120
_MIN_ODDS = np.float32(0.9)  # of the second language against the first, for a line to be of it
_MIN_PROBABILITY = np.float32(0.4)  # of the second language, mean of its lines
_MIN_LINES = 3  # of the second language
_MIN_SHARE = np.float32(0.25)  # of the bytes of both languages, for the second


class LanguageModel(NamedTuple):
    """py3langid's model as arrays."""

    next_state: Any  # uint32 (rows * 256,), by row and byte
    row: Any  # uint16 (S,), row of each state
    feature: Any  # int32 (S,), that a state ends, or -1
    weights: Any  # float32 (F, columns), log probability
    prior: Any  # float32 (columns,)
    label: Any  # int32 (columns,), column to label; several columns may be of one
    n_languages: int  # labels at or above are not languages: a line can be of them, a text cannot
    kind: Any  # uint8 (P,), LETTER, LINE_END or 0


@nb.njit(nogil=True, cache=True)
def identify(data: Any, places: Any, model: Any, out: Any) -> None:
    """Identifies texts.

    Args:
        data: uint8, valid UTF-8.
        places: int64 (T + 1,), text k is data[places[k]:places[k + 1]].
        model: a LanguageModel.
        out: int32 (T,); receives a label below ``n_languages``, or UNDETERMINED, or MULTILINGUAL.
    """
    counts = np.zeros(model.weights.shape[0], np.int32)
    n_labels = model.label.max() + 1
    lines = np.empty((_MAX_LINES, n_labels), np.float32)
    for text in range(out.size):
        low, high = places[text], places[text + 1]
        spans, has_letters = _long_lines(data, low, high, model.kind)
        if not has_letters:
            out[text] = UNDETERMINED
            continue
        spans = _sample_lines(spans)
        for k in range(spans.shape[0]):
            probabilities(data, spans[k, 0], spans[k, 1], model, counts, lines[k])
        if _has_second_language(lines, spans[:, 2], model.n_languages):
            out[text] = MULTILINGUAL
        else:
            probabilities(data, low, high, model, counts, lines[0])
            out[text] = np.argmax(lines[0, : model.n_languages])


@nb.njit(nogil=True, cache=True)
def _long_lines(data: Any, low: Any, high: Any, kind: Any) -> Any:
    """Lines with enough letters, each as start, end and bytes of letters; whether the text has a letter at all."""
    spans = np.empty(((high - low) // _LINE_BYTES + 1, 3), np.int64)
    n_spans, has_letters = 0, False
    i = low
    while i < high:
        start, n_chars, n_bytes, end = i, 0, 0, -1
        while i < high:
            first = data[i]
            width, point = 1, nb.int64(first)
            if first >= 0xF0:
                width, point = 4, ((first & 0x07) << 18) | ((data[i + 1] & 0x3F) << 12)
                point |= ((data[i + 2] & 0x3F) << 6) | (data[i + 3] & 0x3F)
            elif first >= 0xE0:
                width, point = 3, ((first & 0x0F) << 12) | ((data[i + 1] & 0x3F) << 6) | (data[i + 2] & 0x3F)
            elif first >= 0x80:
                width, point = 2, ((first & 0x1F) << 6) | (data[i + 1] & 0x3F)
            what = kind[point]
            if what == LINE_END:
                break
            if n_chars == _LINE_CHARS:
                end = i
            n_chars += 1
            if what == LETTER:
                has_letters = True
                n_bytes += width if end < 0 else 0
            i += width
        if n_bytes >= _LINE_BYTES:
            spans[n_spans, 0], spans[n_spans, 1], spans[n_spans, 2] = start, i if end < 0 else end, n_bytes
            n_spans += 1
        i += width
    return spans[:n_spans], has_letters


@nb.njit(nogil=True, cache=True)
def _sample_lines(spans: Any) -> Any:
    """At most _MAX_LINES, evenly; in pairs, since parallel text alternates and an even step could see one side only."""
    if spans.shape[0] <= _MAX_LINES:
        return spans
    step = spans.shape[0] // 2 * 2 / _MAX_LINES
    sample = np.empty((_MAX_LINES, 3), np.int64)
    for k in range(_MAX_LINES):
        sample[k] = spans[2 * int(k // 2 * step) + k % 2]
    return sample


@nb.njit(nogil=True, cache=True)
def probabilities(data: Any, low: Any, high: Any, model: Any, counts: Any, out: Any) -> None:
    """Probabilities of a text's labels, the library's own but for rounding.

    Args:
        data: uint8, valid UTF-8, in NFC; the text is data[low:high].
        model: a LanguageModel.
        counts: int32 (F,), zeros; zeros again afterwards.
        out: float32 (L,); receives the probabilities.
    """
    touched = np.empty(high - low, np.int32)
    state, n_touched = nb.int64(0), 0
    for i in range(low, high):
        state = nb.int64(model.next_state[(nb.int64(model.row[state]) << 8) + data[i]])
        feature = model.feature[state]
        if feature >= 0:
            touched[n_touched] = feature
            n_touched += counts[feature] == 0
            counts[feature] += 1
    scores = model.prior.copy() if n_touched else np.zeros_like(model.prior)
    for k in range(n_touched):
        feature = touched[k]
        weight = np.float32(np.log1p(np.float32(counts[feature])))
        counts[feature] = 0
        for column in range(scores.size):
            scores[column] += weight * model.weights[feature, column]
    out[:] = 0
    scale, best = np.float32(1 / np.sqrt(max(high - low, 1))), scores.max()
    for column in range(scores.size):
        out[model.label[column]] += np.exp((scores[column] - best) * scale)
    out /= out.sum()


@nb.njit(nogil=True, cache=True)
def _has_second_language(lines: Any, sizes: Any, n_languages: Any) -> Any:
    """Whether a second language is sure of enough lines and holds enough of them."""
    n_lines = sizes.size
    if n_lines < _MIN_LINES:
        return False
    mass = np.zeros(n_languages, np.float32)
    for k in range(n_lines):
        mass += lines[k, :n_languages] * np.float32(sizes[k])
    first = np.argmax(mass)
    mass[first] = -1
    second = np.argmax(mass)
    n_theirs, sure, held = 0, np.float32(0), 0
    for k in range(n_lines):
        p, q = lines[k, first], lines[k, second]
        if q >= _MIN_ODDS * (p + q):
            n_theirs += 1
            sure += q
            held += sizes[k]
    return n_theirs >= _MIN_LINES and sure >= _MIN_PROBABILITY * n_theirs and held >= _MIN_SHARE * sizes.sum()
