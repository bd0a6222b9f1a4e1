"""Words are replaced by their translations where the oracle finds hits, and nothing else changes."""

import re
from functools import cache

import counted
import oracle
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from word_cases import TRAPS, WORDS

from pivot_udfs.matching.swap_words import SwapPlan, swap_words
from pivot_udfs.schemas import DATASET
from pivot_udfs.tokenization.backends import TokenizerSpec, load_tokenizer, reference_tokenizer

FORMS = counted.forms_of(WORDS, counted.LANGUAGES)


@cache
def tokenizer() -> TokenizerSpec:
    return load_tokenizer(str(counted.SAMPLES / "tokenizer.json"))


def plan(rate: float, seed: int = 0) -> SwapPlan:
    return SwapPlan(counted.lexicon_of(WORDS, counted.LANGUAGES), tokenizer(), "document_language", rate, seed)


def batch_of(documents: list[tuple[str, str]]) -> pa.RecordBatch:
    rows = [
        {"source": "s", "doc_id": str(k), "lang": lang, "text": text, "token_ids": [1], "n_tokens": 1}
        | {"pivot_density": 0.5, "shrunken_density": 0.25, "shard": "f", "record": k}
        for k, (lang, text) in enumerate(documents)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DATASET)


def candidates(lang: str, text: str) -> list[oracle.Hit]:
    """Hits of the document's language, or of all where the lexicon has no such words; of overlapping ones the first."""
    taken: list[oracle.Hit] = []
    for hit in sorted(oracle.find_hits(text, lang, FORMS, "document_language"), key=lambda hit: (hit.start, hit.lang)):
        if (lang not in FORMS or hit.lang == lang) and (not taken or hit.start >= taken[-1].end):
            taken.append(hit)
    return taken


def translations(hit: oracle.Hit) -> list[str]:
    rows = [row for row in WORDS if row[hit.lang] == hit.word]
    return [word for row in rows for word in row.values() if oracle.folded(word) != oracle.folded(hit.word)]


def pattern(lang: str, text: str, *, may_stay: bool) -> str:
    """Matches the altered texts: between candidates the text itself, in their places one of their translations."""
    parts, done = [], 0
    for hit in candidates(lang, text):
        others = translations(hit)
        own = [text[hit.start : hit.end]] if may_stay or not others else []
        parts += [re.escape(text[done : hit.start]), f"(?:{'|'.join(map(re.escape, [*others, *own]))})"]
        done = hit.end
    return "".join([*parts, re.escape(text[done:])])


PIECES = ["water", "Water", "eau", "水", "大学", "大学生", "university student", " ", "'", "é", "K", "🙂", "x"]
DOCUMENTS = st.lists(
    st.tuples(st.sampled_from(["en", "fr", "zh", "ja", "mul"]), st.lists(st.sampled_from(PIECES)).map("".join)),
    max_size=4,
)


@given(documents=DOCUMENTS, rate=st.floats(0.01, 1), seed=st.integers(0, 99), cut=st.integers(0, 4))
def test_candidates_become_translations_and_the_rest_stays(
    documents: list[tuple[str, str]], rate: float, seed: int, cut: int
) -> None:
    """However the documents are batched."""
    batch = batch_of(documents)
    swapped = swap_words(batch, plan(rate, seed))
    parts = [swap_words(part, plan(rate, seed)) for part in (batch.slice(0, cut), batch.slice(cut))]
    assert pa.Table.from_batches(parts).to_pylist() == swapped.to_pylist()
    always = swap_words(batch, plan(1.0, seed))
    for (lang, text), row, full in zip(documents, swapped.to_pylist(), always.to_pylist(), strict=True):
        assert re.fullmatch(pattern(lang, text, may_stay=True), row["text"], re.DOTALL), (text, row["text"])
        assert re.fullmatch(pattern(lang, text, may_stay=False), full["text"], re.DOTALL), (text, full["text"])


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_token_ids_are_those_of_the_new_texts_and_other_columns_stay(rate: float) -> None:
    batch = batch_of(TRAPS)
    swapped = swap_words(batch, plan(rate))
    assert swapped.schema == DATASET
    kept = [name for name in DATASET.names if name not in ("text", "token_ids", "n_tokens")]
    assert swapped.select(kept) == batch.select(kept)
    assert swapped.column("text") != batch.column("text")
    library = reference_tokenizer(tokenizer())
    for row in swapped.to_pylist():
        assert row["token_ids"] == library.encode(row["text"], add_special_tokens=False).ids
        assert row["n_tokens"] == len(row["token_ids"])


def test_the_rate_is_the_share_that_is_replaced_and_the_seed_chooses_which() -> None:
    """All translations are used alike."""
    batch = batch_of([("en", "cat " * 300)] * 20)
    texts = [swap_words(batch, plan(0.3, seed)).column("text").to_pylist() for seed in (0, 1)]
    words = [word for text in texts[0] for word in text.split()]
    assert len(words) == 6_000
    assert words.count("cat") / 6_000 == pytest.approx(0.7, abs=0.03)
    assert words.count("chat") / 6_000 == pytest.approx(0.15, abs=0.03)
    assert words.count("猫") / 6_000 == pytest.approx(0.15, abs=0.03)
    assert texts[0] != texts[1]
    assert len({*texts[0]}) == 20
