"""The language of documents whose shard does not name it, by py3langid's model, at a bounded cost.

A sample from the start, the middle and the end is identified as a whole; before that, its longer lines one by one,
since bilingual text (parallel lines, quoted originals) looks like either language as a whole.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pivot_udfs.text import language_kernel as kernel
from pivot_udfs.text.script_tables import N_CODE_POINTS

SAMPLE_CHARS = 2_000
"""Characters of a document that are looked at, at most."""
MULTILINGUAL = "mul"
UNDETERMINED = "und"

_NO_LANGUAGE = "zxx"  # the library's label of code and numbers
_SLICES = 3


def identify_languages(texts: Sequence[str]) -> list[str]:
    """The language of each text.

    Args:
        texts: Unicode without lone surrogates.

    Returns:
        For each an ISO 639-1 code; ``mul`` where a second language holds at least a quarter of the longer lines;
        ``und`` where there are no letters to go by.
    """
    if not texts:  # the model is read only where it is needed
        return []
    samples = [sample(text).encode() for text in texts]
    places = np.cumsum([0, *map(len, samples)], dtype=np.int64)
    found = np.empty(len(texts), np.int32)
    labels, model = language_model()
    kernel.identify(np.frombuffer(b"".join(samples), np.uint8), places, model, found)
    names = [*labels, MULTILINGUAL, UNDETERMINED]  # the kernel's -2 and -1
    return [names[label] for label in found.tolist()]


def sample(text: str) -> str:
    """At most ``SAMPLE_CHARS`` characters, as the model wants them: equal parts of the start, the middle, the end."""
    if len(text) > SAMPLE_CHARS:
        width = SAMPLE_CHARS // _SLICES
        starts = [(len(text) - width) * k // (_SLICES - 1) for k in range(_SLICES)]
        text = "\n".join([text[start : start + width] for start in starts])
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text)


@cache
def language_model() -> tuple[list[str], kernel.LanguageModel]:
    """The labels, languages first, and the model over them; read once a process."""
    library = LanguageIdentifier.from_model_file(MODEL_FILE)
    labels = [*(label for label in library.labels if len(label) == 2), _NO_LANGUAGE]
    columns = [k for k, label in enumerate(library.nb_classes) if label in labels]
    model = kernel.LanguageModel(
        next_state=np.asarray(library.tk_nextmove, np.uint32),
        row=np.asarray(library.tk_row, np.uint16),
        feature=np.asarray(library.tk_output, np.int32),
        weights=np.ascontiguousarray(library.nb_ptc[:, columns], np.float32),
        prior=library.nb_pc[columns].astype(np.float32),
        label=np.asarray([labels.index(library.nb_classes[k]) for k in columns], np.int32),
        n_languages=len(labels) - 1,
        kind=_kinds(),
    )
    return labels[:-1], model


def _kinds() -> NDArray[np.uint8]:
    """What each code point is: uint8 (0x110000,)."""
    kinds = np.zeros(N_CODE_POINTS, np.uint8)
    kinds[[point for point in range(N_CODE_POINTS) if chr(point).isalpha()]] = kernel.LETTER
    kinds[[point for point in range(N_CODE_POINTS) if chr(point).splitlines() == [""]]] = kernel.LINE_END
    return kinds
