"""How strongly a token is tied to a word, or a word to a word, from document counts.

With n documents, of which a word is in w, a token in t, and both within the window in k:

* ``npmi``: ln(p(t, w) / (p(t) p(w))) / -ln p(t, w), in [-1, 1] (Bouma 2009); 1 where all documents have both;
* ``lift_difference``: k / w - t / n, in [-1, 1]: what the authors of the paper released;
* ``llr``: Dunning's (1993) G2 of the 2 x 2 table of documents, 0 where k is no more than chance gives.

A new measure is a function here and an entry in ``MEASURES``, which settings, counting and report read.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]
_NEAR = 1e-3
"""Relative difference up to which five terms of a series are as good as a double, and a logarithm is not."""
_TINY = 2.0**-53
_CACHED = 1 << 13
"""Cells at a time, whose intermediate values stay in the processor's cache."""


def npmi(both: Counts, word: Counts, token: Counts, n_docs: float) -> Counts:
    """Normalized pointwise mutual information of tokens with words, float64 (N,), in [-1, 1].

    Documents: ``both`` (N,) with word and token, at least 1; ``word`` and ``token`` (N,) with each; ``n_docs`` in all.
    """
    surprise = -_log_ratio(both, np.full_like(both, n_docs))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = _log_ratio(both * n_docs, word * token) / surprise
    return np.clip(np.where(surprise > 0, value, 1.0), -1.0, 1.0)


def lift_difference(both: Counts, word: Counts, token: Counts, n_docs: float) -> Counts:
    """p(token | word) - p(token), in [-1, 1]; arguments as of ``npmi``."""
    return both / word - token / n_docs


def llr(both: Counts, word: Counts, token: Counts, n_docs: float) -> Counts:
    """Log-likelihood ratio G2, at least 0; arguments as of ``npmi``, all below 2^53.

    It is summed from the differences of the four counts from what chance gives, which is to the same precision for
    however many documents: the logarithms of the counts themselves nearly cancel each other.
    """
    values = np.empty_like(both)
    for start in range(0, len(both), _CACHED):
        part = slice(start, start + _CACHED)
        values[part] = _log_likelihood_ratio(both[part], word[part], token[part], n_docs)
    return values


class Measure(NamedTuple):
    """A measure of association."""

    associate: Callable[[Counts, Counts, Counts, float], Counts]
    title: str
    """For the report."""
    min_score: float
    """The ``pivots.min_score`` where none is set."""
    is_bounded: bool
    """Whether it is in [-1, 1]."""


MEASURES = {
    "npmi": Measure(npmi, "NPMI", 0.15, True),
    "lift_difference": Measure(lift_difference, "lift difference", 0.0, True),
    "llr": Measure(llr, "log-likelihood ratio", 0.0, False),
}


def known_measure(name: str) -> str:
    """The name, if a measure has it; else raises ValueError, whose message lists those that exist."""
    if name not in MEASURES:
        raise ValueError(f"is not a known measure; known measures: {', '.join(map(repr, MEASURES))}")
    return name


def _log_ratio(above: Counts, below: Counts) -> Counts:
    """ln(above / below), to full precision also where the two are nearly the same."""
    excess = (above - below) / below
    return np.where(np.abs(excess) < 0.5, np.log1p(np.maximum(excess, -0.5)), np.log(above) - np.log(below))


def _log_likelihood_ratio(both: Counts, word: Counts, token: Counts, n_docs: float) -> Counts:
    without_word, without_token = n_docs - word, n_docs - token
    excess = _difference_of_products(both, np.full_like(both, n_docs), word, token) / n_docs
    total = (
        _deviance(both, word * token / n_docs, excess)
        + _deviance(word - both, word * without_token / n_docs, -excess)
        + _deviance(token - both, without_word * token / n_docs, -excess)
        + _deviance(without_word - token + both, without_word * without_token / n_docs, excess)
    )
    return np.where(excess > 0, 2.0 * total, 0.0)


def _deviance(count: Counts, expected: Counts, difference: Counts) -> Counts:
    """Computes count * ln(count / expected) - difference, at least 0, where ``difference`` is count - expected."""
    share = difference / np.maximum(expected, _TINY)
    series = difference * share * (1 / 2 + share * (-1 / 6 + share * (1 / 12 + share * (-1 / 20 + share / 30))))
    logarithm = np.log1p(np.maximum(share, _TINY - 1))
    return np.where(np.abs(share) < _NEAR, series, count * logarithm - difference)


def _difference_of_products(a: Counts, b: Counts, c: Counts, d: Counts) -> Counts:
    """Computes a * b - c * d, also where they are nearly the same: with what rounding takes of each (Dekker 1971)."""
    first, second = a * b, c * d
    return (first - second) + (_rounded_off(a, b, first) - _rounded_off(c, d, second))


def _rounded_off(a: Counts, b: Counts, product: Counts) -> Counts:
    """What a * b is more than its rounded product."""
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


def _halves(value: Counts) -> tuple[Counts, Counts]:
    """A number as a sum of two with half the digits each, whose products are exact."""
    shifted = value * (2.0**27 + 1)
    high = shifted - (shifted - value)
    return high, value - high
