"""Cuts texts so that plain byte level gives the pieces of "single digits first, then byte level".

SmolLM's, StarCoder's and other tokenizers isolate every digit before the byte-level step. fastokens has a quick path
for byte level alone (60 to 80 MB/s on one core on four languages, against 30 to 40 for both steps as one expression).
Byte level alone gives other pieces in two places only: a digit after two or more characters of white space, and
numerals that are more than one byte. Texts are cut there, and the parts encoded by themselves. A cut is always right,
since it lies where the digits step cuts too; ASCII digits elsewhere need none, if no merge of the vocabulary has one
(checked). The probe of ``load_tokenizer`` runs through all this, so equality is tested there too.
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

_SPACE, _DIGIT, _NUMERAL = 1, 2, 3
_N_CODE_POINTS = 0x110000


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


def cut_at_numerals(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Texts in parts.

    Returns:
        parts: of all texts in a row;
        firsts: int64 (len(texts) + 1,), text k is parts[firsts[k]:firsts[k + 1]].
    """
    column = pa.array(texts, pa.large_string())
    _, offsets, data = column.buffers()
    places = np.frombuffer(offsets, np.int64)[: len(texts) + 1]
    whole = data.to_pybytes() if data is not None else b""
    cuts, firsts = _find_cuts(np.frombuffer(whole, np.uint8), places, _classes())
    ends = cuts[1:].tolist()
    return [whole[a:b].decode() for a, b in zip(cuts.tolist(), ends, strict=False)], firsts


@functools.cache
def _classes() -> NDArray[np.uint8]:
    """Space, ASCII digit, other numeral or none of these, for every code point: uint8 (0x110000,)."""
    table = np.zeros(_N_CODE_POINTS, np.uint8)
    everything = "a".join(chr(point) for point in range(_N_CODE_POINTS) if not 0xD800 <= point < 0xE000)
    spaces = [match.group() for match in regex.finditer(r"[\s\x00-\x20\u180e]", everything)]
    table[[ord(space) for space in spaces]] = _SPACE
    # What a numeral is, the reference says itself: Unicode tables differ from library to library.
    pieces = tokenizers.pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str(everything)
    table[[ord(piece) for piece, _ in pieces if len(piece) == 1 and piece != "a"]] = _NUMERAL
    table[ord("0") : ord("9") + 1] = _DIGIT
    return table


@nb.njit(nogil=True, cache=True)
def _find_cuts(data: Any, offsets: Any, classes: Any) -> Any:
    """Byte places where parts begin, and the end of the last; and the number of each text's first part."""
    n_texts = offsets.size - 1
    cuts = np.empty(data.size + n_texts + 1, np.int64)
    firsts = np.empty(n_texts + 1, np.int64)
    n_cuts = 0
    for text in range(n_texts):
        firsts[text] = n_cuts
        i, end = offsets[text], offsets[text + 1]
        cuts[n_cuts] = i
        n_cuts += 1
        n_spaces, after_numeral = 0, False
        while i < end:
            width, point = 1, nb.int64(data[i])
            if point >= 0x80:
                width = 2 if point < 0xE0 else 3 if point < 0xF0 else 4
                point &= 0x7F >> width
                for k in range(1, width):
                    point = (point << 6) | (nb.int64(data[i + k]) & 0x3F)
            kind = classes[point]
            here = after_numeral or kind == _NUMERAL or (kind == _DIGIT and n_spaces > 1)
            if here and i > cuts[n_cuts - 1]:
                cuts[n_cuts] = i
                n_cuts += 1
            after_numeral = kind == _NUMERAL
            n_spaces = n_spaces + 1 if kind == _SPACE else 0
            i += width
    firsts[n_texts] = n_cuts
    cuts[n_cuts] = offsets[n_texts]
    return cuts[: n_cuts + 1].copy(), firsts
