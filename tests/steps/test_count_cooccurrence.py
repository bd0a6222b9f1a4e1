"""Counts equal the brute-force oracle: real text, hand-made traps, generated text; any batches, order, memory."""

import random
from functools import cache
from pathlib import Path

import counted
import numpy as np
import oracle
import pyarrow as pa
import pytest
from counted import Encoded, assert_same, batches_of, expected, plan_of
from hypothesis import given, settings
from hypothesis import strategies as st
from word_cases import TINY, TRAPS, WORDS

from pivot_udfs import count_cooccurrence as step
from pivot_udfs import sum_counts
from pivot_udfs.count_changed_files import sum_languages
from pivot_udfs.counting.partial_rows import Kind, packed_rows
from pivot_udfs.errors import TokenizerError, WarehouseError
from pivot_udfs.schemas import CORPUS_TOTALS
from pivot_udfs.tokenization.backends import TokenizerSpec

WINDOWS = [1, 10, 100, "document"]
ALPHABET = st.sampled_from([*"abcdé'_1 水猫学生がカ🙂鬱", "e\u0301", "\u212a", "\u1e9e", "\u0130", "\u3099", " ", " "])
DOCUMENT = st.tuples(
    st.sampled_from(["en", "fr", "zh", "ja", "mul", "de"]), st.lists(ALPHABET, max_size=30).map("".join)
)


@cache
def real_text() -> tuple[Encoded, ...]:
    """A few dozen short pieces of real text, each shard's share."""
    draw, documents = random.Random(5), []  # noqa: S311
    for _, texts in counted.sample_texts():
        for lang, text in draw.sample(texts, 5):
            start = draw.randrange(max(1, len(text) - 500))
            documents.append((lang, text[start : start + 500]))
    assert {lang for lang, _ in documents} == {"en", "fr", "zh", "ja", "mul"}
    return tuple(counted.with_sample_tokenizer(documents))


@cache
def tables_of_real_text(window: int | str) -> oracle.Tables:
    """By the oracle, with the sample lexicon."""
    return expected(real_text(), counted.sample_rows(), window)


@pytest.fixture
def pieces() -> list[Encoded]:
    return list(real_text())


@pytest.mark.parametrize("window", WINDOWS)
def test_real_text(pieces: list[Encoded], sample_tokenizer: TokenizerSpec, window: int | str) -> None:
    rows = counted.sample_rows()
    wanted = tables_of_real_text(window)
    assert len(wanted.word_totals) > 100
    assert len(wanted.word_cooccurrence) > 20
    assert_same(counted.counted(batches_of(pieces), plan_of(rows, sample_tokenizer, window)), wanted)


@pytest.mark.parametrize("shared", ["document_language", "all"])
@pytest.mark.parametrize("window", WINDOWS)
def test_traps(sample_tokenizer: TokenizerSpec, window: int | str, shared: str) -> None:
    documents = counted.with_sample_tokenizer(TRAPS)
    got = counted.counted(batches_of(documents), plan_of(WORDS, sample_tokenizer, window, shared))
    assert_same(got, expected(documents, WORDS, window, shared))


def test_what_the_traps_count(sample_tokenizer: TokenizerSpec) -> None:
    """A few cells by hand, so that product and oracle cannot be wrong together."""

    def cells(lang: str, text: str, shared: str = "document_language") -> dict[tuple[str, str], int]:
        documents = counted.with_sample_tokenizer([(lang, text)])
        tables = counted.counted(batches_of(documents), plan_of(WORDS, sample_tokenizer, 10, shared))
        return {word: count for word, (count, _) in tables.word_totals.items()}

    assert cells("fr", "l'eau, eaux, Eau") == {("fr", "eau"): 2}
    assert cells("zh", "Debian手册") == {("en", "Debian"): 1, ("zh", "手册"): 1, ("ja", "手"): 1}
    assert cells("zh", "水") == {("zh", "水"): 1}
    assert cells("zh", "水", "all") == cells("en", "水") == {("zh", "水"): 1, ("ja", "水"): 1}
    assert cells("zh", "大学生") == {("zh", "大学生"): 1}
    assert cells("fr", "E\u0301COLE \u0130stanbul STRA\u1e9eE") == {
        ("fr", "école"): 1,
        ("fr", "İstanbul"): 1,
        ("fr", "straße"): 1,
    }
    assert cells("en", "\u212a") == {("en", "K"): 1}


def test_contexts_by_hand(sample_tokenizer: TokenizerSpec) -> None:
    """The window is measured from the hit's first token, and its own span is left out."""
    documents = counted.with_sample_tokenizer([("ja", "a b鬱 c d")])
    tokens = documents[0][2]
    span = [token.token_id for token in tokens if token.start <= 3 < token.end]
    assert len(tokens) > len(span) > 1
    tables = counted.counted(batches_of(documents), plan_of(WORDS, sample_tokenizer, len(span)))
    first = next(k for k, token in enumerate(tokens) if token.start <= 3 < token.end)
    near = tokens[max(0, first - len(span)) : first] + tokens[first + len(span) : first + len(span) + 1]
    assert set(tables.token_cooccurrence) == {("ja", "鬱", token.token_id) for token in near}


@given(
    documents=st.lists(DOCUMENT, max_size=4), window=st.sampled_from([1, 2, 5, 100, "document"]), every=st.booleans()
)
@settings(max_examples=150)
def test_generated_text(
    sample_tokenizer: TokenizerSpec, documents: list[tuple[str, str]], window: int | str, every: bool
) -> None:
    shared = "all" if every else "document_language"
    encoded = counted.with_sample_tokenizer(documents)
    got = counted.counted(batches_of(encoded), plan_of(TINY, sample_tokenizer, window, shared))
    assert_same(got, expected(encoded, TINY, window, shared))


@given(
    documents=st.lists(DOCUMENT, min_size=1, max_size=8),
    sizes=st.lists(st.integers(0, 3), max_size=5),
    seed=st.randoms(use_true_random=False),
    slice_bytes=st.sampled_from([1, 40, 1 << 20]),
    block_bytes=st.sampled_from([1, 300, 1 << 24]),
    out_cells=st.sampled_from([1, 7, 1 << 17]),
)
@settings(max_examples=60)
def test_any_batches_order_and_memory(
    sample_tokenizer: TokenizerSpec,
    documents: list[tuple[str, str]],
    sizes: list[int],
    seed: random.Random,
    slice_bytes: int,
    block_bytes: int,
    out_cells: int,
) -> None:
    encoded = counted.with_sample_tokenizer(documents)
    plan = plan_of(TINY, sample_tokenizer, 5)
    wanted = counted.counted(batches_of(encoded), plan)
    seed.shuffle(encoded)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "_SLICE_BYTES", slice_bytes)
        patch.setattr(step, "_OUT_CELLS", out_cells)
        patch.setattr(step.CountPlan, "block_bytes", block_bytes)
        assert_same(counted.counted(batches_of(encoded, sizes), plan), wanted)


@pytest.mark.parametrize("window", [10, "document"])
def test_full_output_buffers_lose_nothing(
    pieces: list[Encoded], sample_tokenizer: TokenizerSpec, window: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(counted.sample_rows(), sample_tokenizer, window)
    wanted = counted.counted(batches_of(pieces), plan)
    monkeypatch.setattr(step, "_OUT_CELLS", 1)
    got = list(step.count_cooccurrence(iter(batches_of(pieces)), plan))
    assert max(batch.num_rows for batch in got) <= 49_152
    monkeypatch.setattr(step.CountPlan, "block_bytes", 20_000)
    assert_same(counted.counted(batches_of(pieces, [3] * 8), plan), wanted)


def test_counts_are_additive(pieces: list[Encoded], sample_tokenizer: TokenizerSpec) -> None:
    plan = plan_of(counted.sample_rows(), sample_tokenizer, 10)
    once, twice = (counted.counted(batches_of(pieces) * n, plan) for n in (1, 2))
    for name, table in vars(once).items():
        assert getattr(twice, name) == {key: [2 * number for number in cell] for key, cell in table.items()}


def test_budget_does_not_change_the_counts(pieces: list[Encoded], sample_tokenizer: TokenizerSpec) -> None:
    plan = plan_of(counted.sample_rows(), sample_tokenizer, 100)
    small, large = counted.with_budget(plan, 256), counted.with_budget(plan, 4096)
    assert small.block_bytes < large.block_bytes
    assert_same(counted.counted(batches_of(pieces), small), counted.counted(batches_of(pieces), large))


@pytest.mark.parametrize("sliced", [False, True])
def test_sliced_and_large_columns(pieces: list[Encoded], sample_tokenizer: TokenizerSpec, sliced: bool) -> None:
    plan = plan_of(counted.sample_rows(), sample_tokenizer, 10)
    table = pa.Table.from_batches(batches_of(pieces))
    fields = [pa.field(name, pa.string()) for name in ("source", "lang")] + [
        pa.field("text", pa.large_string() if not sliced else pa.string())
    ]
    batch = table.cast(pa.schema([*fields, pa.field("token_ids", pa.list_(pa.int32()))])).to_batches()[0]
    batches = [batch.slice(0, 7), batch.slice(7, 0), batch.slice(7)] if sliced else [batch]
    assert_same(counted.counted(batches, plan), tables_of_real_text(10))


def test_no_documents(sample_tokenizer: TokenizerSpec) -> None:
    plan = plan_of(TINY, sample_tokenizer, 10)
    assert_same(counted.counted([], plan), oracle.Tables())
    assert_same(counted.counted(batches_of([]), plan), oracle.Tables())


def test_ids_of_another_tokenizer_are_refused(sample_tokenizer: TokenizerSpec, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"99999.*tokenize_corpus"):
        counted.counted(batches_of([("en", "a", [oracle.Token(99_999, 0, 1)])]), plan_of(TINY, sample_tokenizer, 10))
    wrong = batches_of([("en", "a cat", [oracle.Token(5, 0, 5)])])
    with pytest.raises(TokenizerError, match="stored ids are not those"):
        counted.counted(wrong, plan_of(TINY, sample_tokenizer, 10))


def test_counts_are_64_bit(sample_tokenizer: TokenizerSpec) -> None:
    plan = plan_of(TINY, sample_tokenizer, 10)
    columns, large = np.array([3, 7], np.int32), np.array([1 << 40, 1 << 33])
    half = packed_rows(Kind.TOKEN_TOTALS, np.zeros(2, np.int32), columns, large, large)
    assert counted.summed([half] * 3, plan).token_totals == {3: [3 << 40] * 2, 7: [3 << 33] * 2}


@pytest.mark.parametrize("out_cells", [1, 100, 1 << 17])
def test_sums_leave_in_batches(
    pieces: list[Encoded], sample_tokenizer: TokenizerSpec, out_cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(counted.sample_rows(), sample_tokenizer, 10)
    monkeypatch.setattr(sum_counts, "_OUT_CELLS", out_cells)
    assert_same(counted.counted(batches_of(pieces), plan), tables_of_real_text(10))


@pytest.mark.parametrize("window", [100, "document"])
def test_overlaps_where_folding_shortens_the_word(sample_tokenizer: TokenizerSpec, window: int | str) -> None:
    """The word takes more bytes in the text (Kelvin signs) than in the lexicon, and hides the hit inside it."""
    rows = [{"en": "水", "ja": "水kkkk水"}]
    documents = counted.with_sample_tokenizer([("en", "水\u212a\u212a\u212a\u212a水 ... 水"), ("en", "水kkkk水")])
    tables = counted.counted(batches_of(documents), plan_of(rows, sample_tokenizer, window))
    assert tables.word_cooccurrence == {("en", "水", "ja", "水kkkk水"): [1, 1]}
    assert_same(tables, expected(documents, rows, window))


def test_languages_without_documents_left_have_no_total() -> None:
    stored = pa.table({"lang": ["en", "fr"], "n_docs": [5, 2], "n_tokens": [50, 20]}, schema=CORPUS_TOTALS)
    changed = pa.table(
        {"lang": ["fr", "ja", "en"], "n_docs": [-2, 1, -1], "n_tokens": [-20, 0, -4]}, schema=CORPUS_TOTALS
    )
    assert sum_languages([changed, stored]) == [
        {"lang": "en", "n_docs": 4, "n_tokens": 46},
        {"lang": "ja", "n_docs": 1, "n_tokens": 0},
    ]
