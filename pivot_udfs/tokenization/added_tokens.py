"""Added tokens in texts, found as the reference finds them before it splits a text into pre-tokens.

Tokens with ``normalized = false`` are matched in the text as it is, the others in what is left of it, after the
normalizer. Both leftmost-longest, special tokens among them: they use up the text that they match, which stays plain
text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ahocorasick_rs
import numpy as np
import tokenizers
from numpy.typing import NDArray

from pivot_udfs.tokenization.encode_kernel import Segments
from pivot_udfs.tokenization.nfc import to_nfc

Stage = tuple[ahocorasick_rs.BytesAhoCorasick, list[int]]
"""What is searched for, and the ids, -1 for special tokens."""
_FLAGS = ("lstrip", "rstrip", "single_word")


def unsupported(token: Mapping[str, Any]) -> str | None:
    """Why an added token cannot be found here, None if it can."""
    flags = [name for name in _FLAGS if token.get(name)]
    return f"the added token {token['content']!r} has {' and '.join(flags)}" if flags and not token["special"] else None


class AddedTokens:
    """The added tokens of a tokenizer, ready to be searched for."""

    def __init__(self, tokens: Mapping[int, tokenizers.AddedToken], normalized: bool) -> None:
        """``tokens``: by the ids that the library gives them; ``normalized``: whether its normalizer is NFC."""
        groups = [[pair for pair in tokens.items() if pair[1].normalized is late] for late in (False, True)]
        contents = [[token.content for _, token in group] for group in groups]
        if normalized:
            contents[1] = [to_nfc(content) or content for content in contents[1]]
        self._stages = [
            (_automaton(texts), [-1 if token.special else token_id for token_id, token in group])
            for texts, group in zip(contents, groups, strict=True)
            if not all(token.special for _, token in group)
        ]
        self._first_is_raw = not all(token.special for _, token in groups[0])

    def is_in_raw(self, text: str) -> bool:
        """Whether a text holds a token that is matched before the normalizer."""
        return self._first_is_raw and any(found[2] >= 0 for found in _found(self._stages[0], text.encode()))

    def segments(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[Segments, NDArray[np.int64]]:
        """The parts of texts between added tokens.

        Args:
            data, offsets: ``TextBatch.buffers``, of normalized texts.

        Returns:
            the segments, and the first one of each text, int64 (texts + 1,).
        """
        if not self._stages:
            return Segments(offsets[:-1], offsets[1:], np.full(len(offsets) - 1, -1, np.int32)), np.arange(len(offsets))
        rows: list[tuple[int, int, int]] = []
        firsts = [0]
        raw = data.data
        for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            self._split(raw, start, end, self._stages, -1, rows)
            firsts.append(len(rows))
        columns = np.array(rows, np.int64).reshape(-1, 3)
        starts, ends, added = (columns[:, k].copy() for k in range(3))
        return Segments(starts, ends, added.astype(np.int32)), np.array(firsts, np.int64)

    def _split(
        self, raw: memoryview, start: int, end: int, stages: list[Stage], added: int, rows: list[tuple[int, int, int]]
    ) -> None:
        """Appends the segments of ``raw[start:end]``, the last of them followed by the token ``added``."""
        if not stages:
            rows.append((start, end, added))
            return
        place = start
        for first, stop, token in _found(stages[0], raw[start:end]):
            if token >= 0:
                self._split(raw, place, start + first, stages[1:], token, rows)
                place = start + stop
        self._split(raw, place, end, stages[1:], added, rows)


def _automaton(contents: Sequence[str]) -> ahocorasick_rs.BytesAhoCorasick:
    patterns = [content.encode() for content in contents]
    return ahocorasick_rs.BytesAhoCorasick(patterns, matchkind=ahocorasick_rs.MatchKind.LeftmostLongest)


def _found(
    stage: tuple[ahocorasick_rs.BytesAhoCorasick, list[int]], raw: bytes | memoryview
) -> list[tuple[int, int, int]]:
    """First byte, end and id of each match, -1 for a special token."""
    automaton, ids = stage
    return [(start, end, ids[pattern]) for pattern, start, end in automaton.find_matches_as_indexes(raw)]
