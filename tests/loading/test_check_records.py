"""Batches are checked before they are committed, and errors name reasons and remedies."""

import pytest

from jobs.loading.check_records import _REMEDIES, check_quarantine_share, check_row_counts, no_documents
from pivot_udfs.errors import CorpusError
from pivot_udfs.shards.quarantine_reasons import REASONS, SHARD_REASONS
from pivot_udfs.tokenize_corpus import Rejections, ShardCount, ShardCounts, total


def test_different_row_counts_are_an_error() -> None:
    counts = {"a": ShardCount(2, 1, 9), "b": ShardCount(1, 0, 3)}
    check_row_counts(counts, 3, 1)
    with pytest.raises(CorpusError, match="read 3 documents and 1 rejected records, but wrote 3 and 0"):
        check_row_counts(counts, 3, 0)


@pytest.mark.parametrize(
    ("reason", "field"),
    [
        ("missing_id", "corpus.fields.id"),
        ("missing_text", "corpus.fields.text"),
        ("missing_columns", "corpus.fields.id"),
    ],
)
def test_without_any_document_the_error_names_reason_and_field(reason: str, field: str) -> None:
    counts = {
        "a": ShardCount(0, 5, 0, (Rejections("not_json", 1, "at 3"), Rejections(reason, 4, "id is missing"))),
        "b": ShardCount(0, 3, 0, (Rejections(reason, 3, "id is missing"),)),
    }
    error = str(no_documents(total(counts.values())))
    assert error.startswith(f"none of 8 records is a document: 7 {reason}, 1 not_json (such as: id is missing)")
    assert f"{field} to" in error


def _batch(n_shards: int, n_docs: int, *rejections: Rejections) -> ShardCounts:
    """``n_shards`` shards; the first has all documents, each of the last ones one of the rejections."""
    counts = {f"{number:03}": ShardCount(0, 0, 0) for number in range(n_shards)}
    for number, of in enumerate(rejections):
        counts[f"{n_shards - 1 - number:03}"] = ShardCount(0, of.n_records, 0, (of,))
    return counts | {"000": counts["000"]._replace(n_docs=n_docs)}


@pytest.mark.parametrize(
    ("counts", "max_share", "beginning"),
    [
        (_batch(2, 99, Rejections("not_json", 1, "at 3")), 0.01, None),
        (_batch(2, 98, Rejections("not_json", 2, "at 3")), 0.01, "2 of 100 records are rejected (2.00%), more than"),
        (_batch(2, 97, Rejections("not_json", 2, "at 3")), 0.01, None),  # fewer than 100 records
        (_batch(2, 71, Rejections("not_json", 29, "at 3")), 0.29, None),
        (_batch(2, 0, Rejections("not_json", 100, "at 3")), 1.0, None),
        (_batch(2, 999, Rejections("not_json", 1, "at 3")), 0.0, "1 of 1,000 records are rejected (0.10%)"),
        (_batch(20, 9999, Rejections("corrupt_stream", 1, "x")), 0.01, "1 of 20 shards are empty or cannot be read"),
        (_batch(19, 9999, Rejections("corrupt_stream", 1, "x")), 0.01, None),
        (_batch(100, 9999, Rejections("corrupt_stream", 1, "x")), 0.01, None),
        (_batch(20, 9999, *(Rejections(reason, 1, "x") for reason in SHARD_REASONS)), 0.2, "6 of 20 shards"),
        (_batch(20, 9999, *(Rejections("blank_text", 1, "x") for _ in range(19))), 0.01, None),
        ({}, 0.0, None),
    ],
)  # fmt: skip
def test_a_batch_with_too_large_a_share_of_quarantine_is_an_error(
    counts: ShardCounts, max_share: float, beginning: str | None
) -> None:
    if beginning is None:
        return check_quarantine_share(counts, max_share)
    with pytest.raises(CorpusError, match=r"or raise corpus\.max_quarantine_share$") as error:
        check_quarantine_share(counts, max_share)
    assert str(error.value).startswith(beginning)
    return None


def test_the_error_of_a_large_share_has_the_most_frequent_reasons_and_a_remedy() -> None:
    counts = _batch(3, 90, Rejections("not_json", 4, "at 3"), Rejections("missing_id", 6, "docid is missing"))
    with pytest.raises(CorpusError, match="10 of 100 records") as error:
        check_quarantine_share(counts, 0.05)
    assert str(error.value) == (
        "10 of 100 records are rejected (10.00%), more than corpus.max_quarantine_share allows (5.00%): 6 missing_id, "
        "4 not_json (such as: docid is missing); set corpus.fields.id to the field that identifies a document, or to "
        "'' to number the documents; or raise corpus.max_quarantine_share"
    )


def test_every_remedy_is_for_a_known_reason() -> None:
    assert _REMEDIES.keys() <= REASONS.keys()
