"""Words of the lexicon in a document, and those of another kind of script: Latin in Chinese text, Han in French text.

Languages of one kind of script are not distinguished: "main" is a word of French and of English. Only token ids are
read, so that words of several tokens are not seen.
"""

import unicodedata
from collections.abc import Sequence

import numba as nb
import numpy as np
import numpy.typing as npt

from pivot_udfs.counting.whole_words import IS_CONTINUED, bare, is_whole
from pivot_udfs.matching.lexicon import Lexicon, surface_forms
from pivot_udfs.text.script_tables import fold, spaced_table
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.vocabulary import vocabulary

_SPACED, _UNSPACED = 1, 2
Bytes = npt.NDArray[np.uint8]


def word_kinds(spec: TokenizerSpec, lexicon: Lexicon) -> Bytes:
    """The kinds of the languages that have each token's text, ``bare``, as a lexicon word.

    uint8 (vocabulary size,): 1 for languages written with spaces, 2 without, 3 for both; 0 where it is no word.
    """
    kind_of, found = _language_kinds(lexicon), dict[str, int]()
    for lang, word in lexicon.words:
        for form in surface_forms(word):
            found[form] = found.get(form, 0) | kind_of[lang]
    forms = (fold(unicodedata.normalize("NFC", bare(text))) for text in vocabulary(spec).texts)
    return np.array([found.get(form, 0) for form in forms], np.uint8)


def foreign_kinds(lexicon: Lexicon, languages: Sequence[str]) -> Bytes:
    """The kind of words that are foreign to each document, uint8 (D,); 0 where the lexicon lacks its language."""
    kind_of = _language_kinds(lexicon)
    return np.array([(_SPACED | _UNSPACED) - kind_of[lang] if lang in kind_of else 0 for lang in languages], np.uint8)


def _language_kinds(lexicon: Lexicon) -> dict[str, int]:
    """By language, the kind of the script in which most of its words begin."""
    is_spaced = spaced_table()
    spaced: dict[str, list[bool]] = {lang: [] for lang in lexicon.languages}
    for lang, word in lexicon.words:
        spaced[lang].append(bool(is_spaced[ord(word[0])]))
    return {lang: _SPACED if 2 * sum(of) >= len(of) else _UNSPACED for lang, of in spaced.items()}


@nb.njit(nogil=True, cache=True)
def count_lexicon_words(
    ids: npt.NDArray[np.int32], doc_starts: npt.NDArray[np.int64], foreign: Bytes, kinds: Bytes, shapes: Bytes
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Tokens of each document that are whole lexicon words, and those that are foreign to it: int64 (D,) each.

    Document d has ids[doc_starts[d]:doc_starts[d + 1]]; ``foreign`` (D,) is from ``foreign_kinds``, ``kinds`` and
    ``shapes`` (vocabulary size,) from ``word_kinds`` and ``word_shapes``. Words of both kinds are foreign to none.
    """
    n_words, n_foreign = np.zeros(foreign.size, np.int64), np.zeros(foreign.size, np.int64)
    for doc in range(foreign.size):
        open_word, end = False, doc_starts[doc + 1]
        for k in range(doc_starts[doc], end):
            shape, kind = shapes[ids[k]], kinds[ids[k]]
            if kind:
                following = shapes[ids[k + 1]] if k + 1 < end else np.uint8(0)
                if is_whole(shape, open_word, following):
                    n_words[doc] += 1
                    n_foreign[doc] += kind == foreign[doc]
            open_word = (shape & IS_CONTINUED) != 0
    return n_words, n_foreign
