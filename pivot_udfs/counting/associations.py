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
    """Log-likelihood ratio G2, at least 0; arguments as of ``npmi``."""
    cells = np.stack([both, word - both, token - both, n_docs - word - token + both])
    rows = np.stack([word, word, n_docs - word, n_docs - word])
    columns = np.stack([token, n_docs - token, token, n_docs - token])
    expected = rows * columns / n_docs
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(cells > 0, cells * np.log(cells / expected), 0.0)
    return np.where(both > expected[0], 2.0 * np.maximum(terms.sum(axis=0), 0.0), 0.0)


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
