"""Where tokens lie in the text, by the reference library's own offsets, one document at a time.

For a byte-level BPE the running sum of the tokens' byte lengths gives every position at once, and ``positions_exact``
says for which documents. What is left over (altered by a normalizer, SentencePiece, bytes without a token) comes here.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivot_udfs.errors import TokenizerError
from pivot_udfs.text.script_tables import byte_places
from pivot_udfs.tokenization.backends import TokenizerSpec, encoder, reference_tokenizer, sentencepiece_processor
from pivot_udfs.tokenization.vocabulary import vocabulary

Spans = tuple[NDArray[np.int64], NDArray[np.int64]]


def positions_exact(
    byte_lengths: NDArray[np.int32], ids: NDArray[np.int32], offsets: NDArray[np.int64], n_bytes: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether the tokens' byte lengths add up to the text's, so that their sum gives the positions, bool (docs,).

    A token covers at least its own bytes (an added token may take whitespace with it), so equal sums mean that every
    token covers exactly its own. ``ids`` are those of all documents, of which each begins at ``offsets`` (docs + 1,);
    ``n_bytes`` (docs,) are UTF-8 bytes of each text.
    """
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(byte_lengths[ids], dtype=np.int64)])
    return np.asarray(ends[offsets[1:]] - ends[offsets[:-1]] == n_bytes, dtype=bool)


def taken_as_they_are(spec: TokenizerSpec, texts: Iterable[str]) -> NDArray[np.bool_]:
    """Whether the tokenizer's normal form alters nothing in each text, bool (docs,).

    Where it does alter something, lengths that add up can still be misplaced: one character grew, another shrank.
    """
    form = vocabulary(spec).normal_form
    return np.array([form is None or unicodedata.is_normalized(form, text) for text in texts], dtype=bool)


def token_byte_spans(spec: TokenizerSpec, text: str) -> Spans:
    """First byte and end byte of every token of a text, int64, in UTF-8 bytes of the original text.

    The tokens of one character that is split, or that normalization expands, have that character's span each, or their
    own bytes where these can be known (byte-level BPE). A token that covers no text has an empty span at its place. A
    byte that the vocabulary lacks is dropped by the library, whose own offsets are wrong from there on; here it shifts
    nothing. Characters that a normalizer drops, and whitespace between tokens, may be in no span.
    """
    processor = sentencepiece_processor(spec) if spec.kind == "sentencepiece" else None
    ids, (starts, ends) = _sentencepiece_spans(processor, text) if processor else _huggingface_spans(spec, text)
    if ids and vocabulary(spec).texts[ids[0]] == " " and not _is_space_at(text, starts[0]):
        ends[0] = starts[0]  # the space that a tokenizer puts before every text
    return starts, ends


def _is_space_at(text: str, byte: int) -> bool:
    return text.encode()[byte : byte + 4].decode(errors="ignore")[:1].isspace()


def _huggingface_spans(spec: TokenizerSpec, text: str) -> tuple[list[int], Spans]:
    encoding = reference_tokenizer(spec).encode(text, add_special_tokens=False)
    lengths = vocabulary(spec).byte_lengths
    if lengths is not None:
        known = np.flatnonzero(vocabulary(spec).known_bytes[np.frombuffer(text.encode(), np.uint8)])
        ends = np.cumsum(lengths[np.array(encoding.ids, np.int32)], dtype=np.int64)
        whole = (ends[-1] if len(ends) else 0) == len(known)
        if whole and taken_as_they_are(spec, [text]).all():
            starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]
            return encoding.ids, (known[starts], known[ends - 1] + 1)
    places = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    # Unknown characters in a row have one span, that of the row; a byte token covers its own character.
    normalizer = reference_tokenizer(spec).normalizer
    normalized = normalizer.normalize_str if normalizer else str
    bytes_at = np.flatnonzero(np.isin(encoding.ids, _byte_tokens(spec))).tolist()
    for (start, end), of_span in groupby(bytes_at, key=lambda k: encoding.offsets[k]):
        run, widths = list(of_span), [len(normalized(character).encode()) for character in text[start:end]]
        if sum(widths) == len(run):
            places[run, 0] = np.repeat(np.arange(start, end), widths)
            places[run, 1] = places[run, 0] + 1
    byte_of = byte_places(text)
    return encoding.ids, (byte_of[places[:, 0]], byte_of[np.maximum(places[:, 0], places[:, 1])])


@lru_cache(maxsize=8)
def _byte_tokens(spec: TokenizerSpec) -> list[int]:
    """The ids of ``<0x00>`` to ``<0xFF>``, where the vocabulary has them."""
    ids = (reference_tokenizer(spec).token_to_id(f"<0x{byte:02X}>") for byte in range(256))
    return [token_id for token_id in ids if token_id is not None]


def _sentencepiece_spans(processor: Any, text: str) -> tuple[list[int], Spans]:
    """Spans by the origin of each normalized byte: every token of an expanded character covers that character.

    The library's own spans give such a character to the last of its tokens, and nothing to those before.
    """
    _, origins = processor.normalize(text.encode(), with_offsets=True)
    pieces = processor.encode(text, return_type="proto").pieces
    widths = [1 if processor.is_byte(piece.id) else len(piece.piece.encode()) for piece in pieces]
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(widths, dtype=np.int64)])
    origin = np.array(origins, np.int64)
    starts = origin[bounds[:-1]]
    next_origin = np.searchsorted(origin, origin[bounds[1:] - 1], side="right")
    ends = origin[np.minimum(next_origin, len(origin) - 1)]
    return [piece.id for piece in pieces], (starts, ends)


def check_ids(spec: TokenizerSpec, text: str, ids: NDArray[np.int32]) -> None:
    """Raises TokenizerError where stored ids are not those of this tokenizer, or of this version of its library."""
    expected, _ = encoder(spec)([text])
    if np.array_equal(expected, ids):
        return
    shared = min(len(expected), len(ids))
    place = int(np.argmin(np.append(expected[:shared] == ids[:shared], False)))
    got, wanted = (f"{v[place : place + 5].tolist()} ({len(v)} in all)" for v in (ids, expected))
    raise TokenizerError(
        f"stored ids are not those of tokenizer {spec.sha256[:12]} ({spec.backend}): from token {place} on, "
        f"got {got}, expected {wanted}, text {text[:40]!r}; run tokenize_corpus again with this tokenizer"
    )
