"""Replaces lexicon words in texts by their translations, as LINK does before training (arXiv 2605.23885)."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from pivot_udfs.matching.lexicon import Lexicon, surface_forms
from pivot_udfs.matching.match_words import word_matcher
from pivot_udfs.tokenization.backends import TokenizerSpec, encoder

Hit = tuple[int, int, int]
"""First byte, end, word id."""


@dataclass(frozen=True)
class SwapPlan:
    """All that a worker needs to replace words; travels in the step's closure."""

    lexicon: Lexicon
    tokenizer: TokenizerSpec
    shared_surfaces: str
    rate: float
    """Share of the hits that is replaced, in (0, 1]."""
    seed: int

    @cached_property
    def translations(self) -> dict[int, list[str]]:
        """By word id: the words of its concepts in other languages that have another surface; absent without any."""
        words, found = self.lexicon.words, dict[int, dict[str, None]]()
        for cells in self.lexicon.concepts:
            present = [cell for cell in cells if cell >= 0]
            for word in present:
                forms = {*surface_forms(words[word][1])}
                others = (words[other][1] for other in present if forms.isdisjoint(surface_forms(words[other][1])))
                found.setdefault(word, {}).update(dict.fromkeys(others))
        return {word: [*others] for word, others in found.items() if others}


def swap_words(documents: pa.RecordBatch, plan: SwapPlan) -> pa.RecordBatch:
    """The documents (columns of DATASET) with some words replaced by translations, and the token ids of the new texts.

    Hits of the document's language are candidates, or of any language where the lexicon lacks the document's; of hits
    that overlap, the first. Each candidate with a translation is replaced with probability ``plan.rate``, by one of its
    translations as the lexicon spells it. The draws follow from the seed and the document's key. Other columns stay.
    """
    keys = zip(*(documents.column(name).to_pylist() for name in ("source", "doc_id", "text")), strict=True)
    hits = _hits(documents, plan)
    texts = [
        b"".join(_parts(text.encode(), hits[doc], f"{plan.seed}:{source}:{doc_id}", plan)).decode()
        for doc, (source, doc_id, text) in enumerate(keys)
    ]
    token_ids, offsets = encoder(plan.tokenizer)(texts)
    kind = documents.schema.field("token_ids").type
    new = {
        "text": pa.array(texts, pa.string()),
        "token_ids": pa.ListArray.from_arrays(pa.array(offsets, "int32"), pa.array(token_ids, "int32"), type=kind),
        "n_tokens": pa.array(np.diff(offsets)),
    }
    columns = [new.get(name, documents.column(name)) for name in documents.schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=documents.schema)


def _hits(documents: pa.RecordBatch, plan: SwapPlan) -> list[list[Hit]]:
    """The candidates of each document, in order, without overlaps."""
    languages, numbers = documents.column("lang").to_pylist(), plan.lexicon.word_languages()
    own = [plan.lexicon.languages.index(lang) if lang in plan.lexicon.languages else None for lang in languages]
    found: list[list[Hit]] = [[] for _ in languages]
    hits = word_matcher(plan.lexicon, plan.shared_surfaces).find(documents.column("text"), languages)
    order = np.lexsort((hits.words, hits.byte_starts, hits.docs))
    columns = (column[order].tolist() for column in (hits.docs, hits.byte_starts, hits.byte_ends, hits.words))
    for doc, start, end, word in zip(*columns, strict=True):
        if own[doc] in (None, numbers[word]) and not (found[doc] and start < found[doc][-1][1]):
            found[doc].append((start, end, word))
    return found


def _parts(text: bytes, hits: Sequence[Hit], key: str, plan: SwapPlan) -> Iterator[bytes]:
    draw, done = random.Random(key), 0  # noqa: S311 - not for secrets
    for start, end, word in hits:
        others = plan.translations.get(word)
        if others and draw.random() < plan.rate:
            yield text[done:start] + others[int(draw.random() * len(others))].encode()
            done = end
    yield text[done:]
