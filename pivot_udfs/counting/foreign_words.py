"""Words of another kind of script in a document: Latin words in Chinese text, Han words in French text.

Languages of one kind of script are not distinguished: "main" is a word of French and of English. Only token ids are
read, so that words of several tokens are not seen.
"""

import unicodedata
from collections.abc import Sequence

import numba as nb
import numpy as np
import numpy.typing as npt

from pivot_udfs.counting.whole_words import IS_CONTINUED, is_whole
from pivot_udfs.matching.lexicon import Lexicon, surface_forms
from pivot_udfs.text.script_tables import fold, spaced_table
from pivot_udfs.tokenization.backends import TokenizerSpec
from pivot_udfs.tokenization.vocabulary import vocabulary

_SPACED, _UNSPACED = 1, 2
Bytes = npt.NDArray[np.uint8]


def word_kinds(spec: TokenizerSpec, lexicon: Lexicon) -> Bytes:
    """The kind of the languages that have each token's text, but for one space before, as a lexicon word.

    uint8 (vocabulary size,): 1 for languages written with spaces, 2 without; 0 where it is no word, or one of both.
    """
    kind_of, found = _language_kinds(lexicon), dict[str, int]()
    for lang, word in lexicon.words:
        for form in surface_forms(word):
            found[form] = found.get(form, 0) | kind_of[lang]
    forms = (fold(unicodedata.normalize("NFC", text.removeprefix(" "))) for text in vocabulary(spec).texts)
    return np.array([found.get(form, 0) % (_SPACED | _UNSPACED) for form in forms], np.uint8)


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
def count_foreign_words(
    ids: npt.NDArray[np.int32], doc_starts: npt.NDArray[np.int64], foreign: Bytes, kinds: Bytes, shapes: Bytes
) -> npt.NDArray[np.int64]:
    """Tokens of each document that are whole words of the kind that is foreign to it: int64 (D,).

    Document d has ids[doc_starts[d]:doc_starts[d + 1]]; ``foreign`` (D,) is from ``foreign_kinds``, ``kinds`` and
    ``shapes`` (vocabulary size,) from ``word_kinds`` and ``word_shapes``.
    """
    found = np.zeros(foreign.size, np.int64)
    for doc in range(foreign.size):
        open_word, end = False, doc_starts[doc + 1]
        for k in range(doc_starts[doc] if foreign[doc] else end, end):
            shape = shapes[ids[k]]
            if kinds[ids[k]] == foreign[doc]:
                following = shapes[ids[k + 1]] if k + 1 < end else np.uint8(0)
                found[doc] += is_whole(shape, open_word, following)
            open_word = (shape & IS_CONTINUED) != 0
    return found
