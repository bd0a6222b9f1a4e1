"""The split of a lexicon's concepts into two random halves, on which crossover experiments rest.

Half A's pivots decide what the arm ``half_a`` holds; the model side compares how much each half's words gain from it.
"""

from hashlib import sha256

import numpy as np
import numpy.typing as npt


def concept_halves(concepts: npt.ArrayLike, seed: int) -> npt.NDArray[np.bool_]:
    """Whether each concept, by its number as in ``pair_pivots.concept``, belongs to half A: bool (n,).

    Each concept is assigned by itself, each half with probability 1/2, by the first bit of the SHA-256 of
    ``<seed>:<concept>`` in ASCII: the same in every process and on every machine, whatever other concepts there are.
    """
    numbers = np.asarray(concepts, np.int64).tolist()
    return np.array([sha256(f"{seed}:{number}".encode()).digest()[0] >= 128 for number in numbers], np.bool_)
