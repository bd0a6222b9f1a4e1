"""Batches are checked before they are committed, and errors name reasons and remedies."""

import pytest

from jobs.loading.check_quarantine import _REMEDIES, ReadShards, check_quarantine_share, check_row_counts, no_documents
from pivot_udfs.errors import CorpusError, TransientError
from pivot_udfs.shards.quarantine_reasons import REASONS, SHARD_REASONS
from pivot_udfs.tokenize_corpus import Rejections, ShardCount, ShardCounts, total


def test_different_row_counts_are_an_error() -> None:
    counts = {"a": ShardCount(2, 1, 9), "b": ShardCount(1, 0, 3)}
    check_row_counts(counts, 3, 1)
    with pytest.raises(TransientError, match="read 3 documents and 1 rejected records, but wrote 3 and 0"):
        check_row_counts(counts, 3, 0)


@pytest.mark.parametrize(
    ("reason", "field"),
    [
        ("missing_id", "corpus.fields.id"),
        ("missing_text", "corpus.fields.text"),
        ("missing_columns", "corpus.fields.id"),
        ("not_an_object", "one JSON object a line: jq -c '.[]'"),
    ],
)
def test_without_any_document_the_error_names_reason_and_field(reason: str, field: str) -> None:
    counts = {
        "a": ShardCount(0, 5, 0, (Rejections("not_json", 1, "at 3"), Rejections(reason, 4, "id is missing"))),
        "b": ShardCount(0, 3, 0, (Rejections(reason, 3, "id is missing"),)),
    }
    error = str(no_documents(total(counts.values())))
    assert error.startswith(f"none of 8 records is a document: 7 {reason}, 1 not_json (such as: id is missing)")
    assert field in error.rpartition("; ")[2]


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
        return check_quarantine_share(ReadShards().plus(counts), max_share)
    with pytest.raises(CorpusError, match=r"or raise corpus\.max_quarantine_share$") as error:
        check_quarantine_share(ReadShards().plus(counts), max_share)
    assert str(error.value).startswith(beginning)
    return None


@pytest.mark.parametrize("kind", [("corrupt_stream", 500_000), ("empty_shard", 0), ("page_too_large", 7)])
@pytest.mark.parametrize("n_shards", [1, 2, 19, 20, 99])
@pytest.mark.parametrize("n_batches", [1, 3])
def test_a_run_in_which_all_shards_are_bad_stops(kind: tuple[str, int], n_shards: int, n_batches: int) -> None:
    bad = ShardCount(kind[1], 1, 9, (Rejections(kind[0], 1, "x"),))
    read, counts = ReadShards(), {str(number): bad for number in range(n_shards)}
    for start in range(n_batches):
        read = read.plus(dict(list(counts.items())[start::n_batches]))
    with pytest.raises(CorpusError, match=f"^{n_shards} of {n_shards} shards are empty or cannot be read"):
        check_quarantine_share(read, 0.5, all_read=True)
    check_quarantine_share(read, 1.0, all_read=True)


@pytest.mark.parametrize(
    ("counts", "beginning"),
    [
        (_batch(1, 0, Rejections("not_json", 1, "x")), "1 of 1 records"),
        (_batch(1, 0, Rejections("not_json", 99, "x")), "99 of 99 records"),
        (_batch(1, 88, Rejections("not_json", 11, "x")), "11 of 99 records"),
        (_batch(3, 500, *[Rejections("corrupt_stream", 1, "x")] * 2), "2 of 3 shards"),
    ],
)
def test_few_records_and_shards_are_judged_by_their_number(counts: ShardCounts, beginning: str) -> None:
    with pytest.raises(CorpusError, match=f"^{beginning}"):
        check_quarantine_share(ReadShards().plus(counts), 0.01, all_read=True)


def test_one_bad_shard_of_a_batch_alone_is_judged_with_the_rest_of_the_run() -> None:
    bad, good = ShardCount(500, 1, 9, (Rejections("corrupt_stream", 1, "x"),)), ShardCount(500, 0, 9)
    check_quarantine_share(ReadShards().plus({"a": bad}), 0.01)
    check_quarantine_share(ReadShards().plus({"a": bad}).plus({"b": good}), 0.01, all_read=True)
    with pytest.raises(CorpusError, match=r"^2 of 3 shards"):
        check_quarantine_share(ReadShards().plus({"a": bad}).plus({"b": good}).plus({"c": bad}), 0.01)


def test_the_error_of_a_large_share_has_the_most_frequent_reasons_and_a_remedy() -> None:
    counts = _batch(
        6,
        90,
        Rejections("not_json", 4, "at 3", ("/c",)),
        *(Rejections("missing_id", 2, "no docid", (f"/{n}",)) for n in "dab"),
    )
    with pytest.raises(CorpusError, match="10 of 100 records") as error:
        check_quarantine_share(ReadShards().plus(counts), 0.05)
    assert str(error.value) == (
        "10 of 100 records are rejected (10.00%), more than corpus.max_quarantine_share allows (5.00%): 6 missing_id, "
        "4 not_json (such as: no docid; in /a, /b, /d); set corpus.fields.id to the field that identifies a document, "
        "or to '' to number the documents; or raise corpus.max_quarantine_share"
    )


def test_a_sum_names_the_first_shards_alone() -> None:
    counts = [ShardCount(0, 1, 0, (Rejections("not_json", 1, "at 3", (f"/{name}",)),)) for name in "dcbae"]
    assert total([total(counts[:2]), total(counts[2:])]).rejections == (
        Rejections("not_json", 5, "at 3", ("/a", "/b", "/c")),
    )


def test_every_remedy_is_for_a_known_reason() -> None:
    assert _REMEDIES.keys() <= REASONS.keys()
