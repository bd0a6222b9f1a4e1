"""Cuts texts so that plain byte level gives the pieces of "single digits first, then byte level".

SmolLM's, StarCoder's and other tokenizers isolate every digit before the byte-level step. fastokens has a quick path
for byte level alone (60 to 80 MB/s on one core on four languages, against 30 to 40 for both steps as one expression).
Byte level alone gives other pieces in two places only: a digit after two or more characters of white space, and
numerals that are more than one byte. Texts are cut there, and the parts encoded by themselves. A cut is always right,
since it lies where the digits step cuts too; ASCII digits elsewhere need none, if no merge of the vocabulary has one
(checked). The probe of ``load_tokenizer`` runs through all this, so equality is tested there too.

The same pass over the bytes finds the texts with a character on which the libraries disagree.
"""

import functools
import json
from collections.abc import Sequence
from typing import Any

import numba as nb
import numpy as np
import pyarrow as pa
import regex
import tokenizers
from numpy.typing import NDArray

_SPACE, _DIGIT, _NUMERAL, _DISPUTED = 1, 2, 3, 4
_N_CODE_POINTS = 0x110000
_DISPUTED_POINTS = (0x180E, *range(0x11DE0, 0x11DEA), *range(0x16FF4, 0x16FF7))
"""Characters that are white space or digits to one library and not to the other, since their Unicode tables
differ by years; found by encoding each code point below U+33500 with both (fastokens 0.3.5, tokenizers 0.23.3)."""


def plain_byte_level(payload: bytes) -> bytes | None:
    """The same ``tokenizer.json`` without its digits step; None where it has another form, or merges with digits."""
    config = json.loads(payload)
    steps = (config.get("pre_tokenizer") or {}).get("pretokenizers") or []
    if len(steps) != 2 or steps[0] != {"type": "Digits", "individual_digits": True}:
        return None
    byte_level = steps[1]
    plain = byte_level["type"] == "ByteLevel" and byte_level.get("use_regex", True)
    if not plain or byte_level.get("add_prefix_space") or config.get("normalizer") or _merges_digits(config["model"]):
        return None
    return json.dumps(config | {"pre_tokenizer": byte_level}).encode()


def _merges_digits(model: dict[str, Any]) -> bool:
    return model["type"] != "BPE" or any(
        not set("0123456789").isdisjoint("".join(merge)) for merge in model.get("merges", [])
    )


def cut_texts(texts: Sequence[str], at_numerals: bool) -> tuple[list[str], NDArray[np.int64], NDArray[np.bool_]]:
    """Texts in parts.

    Args:
        texts: without lone surrogates.
        at_numerals: whether to cut; else each text is one part.

    Returns:
        parts: of all texts in a row;
        firsts: int64 (len(texts) + 1,), text k is parts[firsts[k]:firsts[k + 1]];
        disputed: bool (len(texts),), the text has a character that is not the same to both libraries.
    """
    _, offsets, data = pa.array(texts, pa.large_string()).buffers()
    places = np.frombuffer(offsets, np.int64)[: len(texts) + 1]
    whole = memoryview(data if data is not None else b"")
    cuts, firsts, disputed = _find_cuts(np.frombuffer(whole, np.uint8), places, _classes(at_numerals))
    ends, begins = cuts[1:].tolist(), cuts.tolist()
    parts: list[str] = []
    for text, first, end in zip(texts, firsts.tolist(), firsts[1:].tolist(), strict=False):
        if end - first == 1:
            parts.append(text)
        else:
            parts += [str(whole[begins[k] : ends[k]], "utf-8") for k in range(first, end)]
    return parts, firsts, disputed


@functools.cache
def _classes(numerals: bool) -> NDArray[np.uint8]:
    """What each code point is, 0 for none of the kinds: uint8 (0x110000,); without numerals only the disputed."""
    table = np.zeros(_N_CODE_POINTS, np.uint8)
    if numerals:
        everything = "a".join(chr(point) for point in range(_N_CODE_POINTS) if not 0xD800 <= point < 0xE000)
        spaces = [match.group() for match in regex.finditer(r"[\s\x00-\x20]", everything)]
        table[[ord(space) for space in spaces]] = _SPACE
        # What a numeral is, the reference says itself: Unicode tables differ from library to library.
        pieces = tokenizers.pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(everything)
        table[[ord(piece) for piece, _ in pieces if len(piece) == 1 and piece != "a"]] = _NUMERAL
        table[ord("0") : ord("9") + 1] = _DIGIT
    table[list(_DISPUTED_POINTS)] = _DISPUTED
    return table


@nb.njit(nogil=True, cache=True)
def _find_cuts(data: Any, offsets: Any, classes: Any) -> Any:
    """Byte places where parts begin, and the end of the last; each text's first part; the disputed texts."""
    n_texts = offsets.size - 1
    cuts = np.empty(data.size + n_texts + 1, np.int64)
    firsts = np.empty(n_texts + 1, np.int64)
    disputed = np.zeros(n_texts, np.bool_)
    n_cuts = 0
    for text in range(n_texts):
        firsts[text] = n_cuts
        i, end = offsets[text], offsets[text + 1]
        cuts[n_cuts] = i
        n_cuts += 1
        n_spaces, after_numeral = 0, False
        while i < end:
            width, point = 1, nb.int64(data[i])
            if point >= 0xE0:
                width = 3 if point < 0xF0 else 4
                point = ((point & (0x7F >> width)) << 12) | ((data[i + 1] & 0x3F) << 6) | (data[i + 2] & 0x3F)
                if width == 4:
                    point = (point << 6) | (data[i + 3] & 0x3F)
            elif point >= 0x80:
                width, point = 2, ((point & 0x1F) << 6) | (data[i + 1] & 0x3F)
            kind = classes[point]
            if after_numeral or kind > _SPACE:
                if kind == _DISPUTED:
                    disputed[text] = True
                cuts_here = after_numeral or kind == _NUMERAL or (kind == _DIGIT and n_spaces > 1)
                if cuts_here and i > cuts[n_cuts - 1]:
                    cuts[n_cuts] = i
                    n_cuts += 1
                after_numeral = kind == _NUMERAL
            n_spaces = n_spaces + 1 if kind == _SPACE else 0
            i += width
    firsts[n_texts] = n_cuts
    cuts[n_cuts] = offsets[n_texts]
    return cuts[: n_cuts + 1].copy(), firsts, disputed
