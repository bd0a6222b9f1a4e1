"""Explanations equal what plain loops over the tables and the oracle's tokens give, as JSON and as text."""

import contextlib
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import oracle_pivots
import pytest
from deltalake import DeltaTable
from small_corpus import SmallCorpus, rows_of

from jobs import explain_document, explain_pivot
from pivot_udfs.arms import ARMS

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]
Key = tuple[str, str]
Row = dict[str, Any]
SHRINKAGE = 100


def explain(main: Callable[[Sequence[str]], int], corpus: SmallCorpus, *arguments: str) -> tuple[int, str, list[str]]:
    """Exit code, standard output, and lines of standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["--config", corpus.config, *arguments])
    return code, out.getvalue(), err.getvalue().splitlines()


def explained(main: Callable[[Sequence[str]], int], corpus: SmallCorpus, *arguments: str) -> Any:
    """The explanation as JSON."""
    code, out, err = explain(main, corpus, *arguments, "--format", "json")
    assert (code, err) == (0, [])
    return json.loads(out)


@pytest.fixture(scope="module")
def pivots(corpus: SmallCorpus) -> dict[int, Row]:
    return {row["token_id"]: row for row in rows_of(corpus, "pivots")}


@pytest.fixture(scope="module")
def brute(corpus: SmallCorpus, pivots: dict[int, Row]) -> dict[Key, Row]:
    """Positions of pivots by token, and densities of every document, from the oracle's tokens."""
    found: dict[Key, Row] = {}
    for (source, doc_id, lang, _), (_, _, tokens) in zip(corpus.documents, corpus.encoded, strict=True):
        positions: dict[int, list[int]] = {}
        for position, token in enumerate(tokens):
            if token.token_id in pivots:
                positions.setdefault(token.token_id, []).append(position)
        n_pivot_tokens = sum(map(len, positions.values()))
        counts = {"lang": lang, "n_tokens": len(tokens), "n_pivot_tokens": n_pivot_tokens}
        found[source, doc_id] = counts | {"positions": positions}
    return found


def test_a_document_has_its_pivots_by_position_and_its_densities(
    corpus: SmallCorpus, pivots: dict[int, Row], brute: dict[Key, Row]
) -> None:
    shrunken = oracle_pivots.shrunken_densities(brute, SHRINKAGE)
    pairs = rows_of(corpus, "pair_pivots")
    places = {(row["source"], row["doc_id"]): (row["shard"], row["record"]) for row in rows_of(corpus, "documents")}
    for key in sorted(brute)[::40]:
        wanted, got = brute[key], explained(explain_document.main, corpus, "--source", key[0], "--id", key[1])
        document = got["document"]
        assert (document["shard"], document["record"]) == places[key]
        assert {name: document[name] for name in wanted if name != "positions"} == {
            name: value for name, value in wanted.items() if name != "positions"
        }
        assert document["pivot_density"] == pytest.approx(wanted["n_pivot_tokens"] / wanted["n_tokens"])
        assert document["shrunken_density"] == pytest.approx(shrunken[key])
        assert {pivot["token_id"]: pivot["positions"] for pivot in got["pivots"]} == wanted["positions"]
        assert [pivot["positions"] for pivot in got["pivots"]] == sorted(wanted["positions"].values())
        for pivot in got["pivots"]:
            row = pivots[pivot["token_id"]]
            assert {name: pivot[name] for name in ("token", "rank", "score")} == {
                name: row[name] for name in ("token", "rank", "score")
            }
            assert by_pair(pivot["pairs"]) == by_pair([p for p in pairs if p["token_id"] == pivot["token_id"]])


def by_pair(pairs: list[Row]) -> list[tuple[Any, ...]]:
    names = ("concept", "lang_a", "word_a", "lang_b", "word_b", "association_a", "association_b", "score", "rank")
    return sorted(tuple(pair[name] for name in names) for pair in pairs)


def test_each_arm_says_whether_it_holds_the_document_and_by_which_cut(corpus: SmallCorpus) -> None:
    held = {arm: {(row["shard"], row["record"]) for row in rows_of(corpus, f"datasets/{arm}")} for arm in ARMS}
    cuts = {(row["arm"], row["stratum"]): row for row in rows_of(corpus, "selection_cuts")}
    seen = set()
    for row in sorted(rows_of(corpus, "documents"), key=lambda row: (row["shard"], row["record"]))[::25]:
        place = row["shard"], row["record"]
        got = explained(explain_document.main, corpus, "--shard", place[0], "--record", str(place[1]))
        assert [arm["arm"] for arm in got["arms"]] == list(ARMS)
        for arm in got["arms"]:
            assert arm["held"] == (place in held[arm["arm"]])
            cut = arm["cut"]
            assert cut is None or cut == cuts[ARMS[arm["arm"]].copy_of or arm["arm"], arm["stratum"]]
            if arm["arm"] == "pivot":
                order = 1 - got["document"]["shrunken_density"]
                assert order == cut["value"] or arm["held"] == (cut["value"] is None or order < cut["value"])
            seen.add((arm["held"], cut is None, arm["reason"].split(" ")[0]))
    assert {state[:2] for state in seen} >= {(True, False), (False, False), (False, True)}


def test_what_led_to_an_explanation_is_in_it(corpus: SmallCorpus) -> None:
    got = explained(explain_document.main, corpus, "--source", corpus.documents[0][0], "--id", corpus.documents[0][1])
    assert got["tables"].keys() == {
        *("documents", "document_scores", "pivots", "pair_pivots", "selection_cuts"),
        *("corpus_totals", "token_totals", "token_sources", "word_totals", "token_cooccurrence"),
        *(f"datasets/{arm}" for arm in ARMS),
    }
    for name, state in got["tables"].items():
        assert state["version"] == DeltaTable(str(corpus.warehouse / name)).version()
    assert got["tables"]["selection_cuts"]["provenance"]["settings"]["selection.shrinkage_tokens"] == SHRINKAGE
    assert got["tables"]["pivots"]["provenance"]["settings"]["pivots.n_pivots"] == 150
    assert got["release"] == 0


def test_the_text_has_the_pivots_the_arms_and_the_versions(corpus: SmallCorpus, brute: dict[Key, Row]) -> None:
    key = max(brute, key=lambda key: len(brute[key]["positions"]))
    code, out, err = explain(explain_document.main, corpus, "--source", key[0], "--id", key[1])
    assert (code, err) == (0, [])
    lines = out.splitlines()
    assert lines[0].startswith(f"document: source {key[0]}, doc_id {key[1]}, ")
    for positions in brute[key]["positions"].values():
        assert any(line.endswith(f", positions {' '.join(map(str, positions))}") for line in lines)
    assert [line.split(":")[0].strip() for line in lines if "; stratum " in line] == list(ARMS)
    assert any(line.startswith("  documents (version 0): tokenize_corpus ") for line in lines)


def test_a_rejected_record_is_explained_from_quarantine(corpus: SmallCorpus) -> None:
    rows = rows_of(corpus, "quarantine")
    row = next(row for row in rows if row["record"] is not None and row["raw"])
    place = ["--shard", row["shard"], "--record", str(row["record"])]
    got = explained(explain_document.main, corpus, *place)
    assert [entry["reason"] for entry in got["quarantine"]] == [row["reason"]]
    assert got["quarantine"][0]["raw"] == row["raw"].decode("utf-8", "backslashreplace")
    assert list(got["tables"]) == ["quarantine"]
    _, out, _ = explain(explain_document.main, corpus, *place)
    assert f"reason {row['reason']}, " in out.splitlines()[0]
    whole = next(row for row in rows if row["record"] is None)
    got = explained(explain_document.main, corpus, "--shard", whole["shard"], "--record", "5")
    assert [(entry["reason"], entry["raw"]) for entry in got["quarantine"]] == [("empty_shard", None)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "nowhere", "--id", "1"], "has no document with source 'nowhere' and id '1'"),
        (["--shard", "nowhere", "--record", "1"], "nor quarantine has record 1 of nowhere"),
        (["--shard", "x", "--record", str(1 << 63)], "--shard and --record, a number from 0"),
        (["--source", "nowhere"], "give either --source and --id, or --shard and --record"),
        (["--source", "s", "--id", "1", "--shard", "x", "--record", "1"], "give either --source and --id, or "),
    ],
)
def test_a_document_in_no_table_is_one_line_and_exit_2(corpus: SmallCorpus, arguments: list[str], message: str) -> None:
    code, out, err = explain(explain_document.main, corpus, *arguments)
    assert (code, out, len(err)) == (2, "", 1)
    assert message in err[0]


def test_a_token_is_a_pivot_or_has_the_reason_why_not(corpus: SmallCorpus, pivots: dict[int, Row]) -> None:
    pairs, totals = rows_of(corpus, "pair_pivots"), {row["token_id"]: row for row in rows_of(corpus, "token_totals")}
    words: Counter[int] = Counter()
    for row in rows_of(corpus, "token_sources"):
        words[row["token_id"]] += row["word_count"]
    n_docs, of_pairs = len(corpus.documents), {row["token_id"] for row in pairs}
    shares = {token_id: row["doc_count"] / n_docs for token_id, row in totals.items()}
    cases = {
        "": sorted(pivots)[::40],
        "is a background token": sorted(t for t in of_pairs if shares[t] > 0.2)[:3],
        "is not above that of the last pivot|serves 1 concepts": sorted(
            t for t in of_pairs - pivots.keys() if shares[t] <= 0.2
        )[:3],
        "is a piece of words": sorted(t for t in totals if words.get(t, 0) < totals[t]["count"] / 2)[300::1500],
        "is a pair pivot of no word pair|has no letter|is a piece of words": sorted(totals.keys() - of_pairs)[::1500],
        "is a special token": [0],
        "occurs in no document": [next(t for t in range(40_000, 49_000) if t not in totals)],
    }
    for reason, token_ids in cases.items():
        assert token_ids, reason
        for token_id in token_ids:
            got = explained(explain_pivot.main, corpus, "--token-id", str(token_id))
            own = [pair for pair in pairs if pair["token_id"] == token_id]
            assert by_pair(got["pairs"]) == by_pair(own)
            assert got["score"] == pytest.approx(sum(pair["score"] for pair in own))
            assert got["n_concepts"] == len({pair["concept"] for pair in own})
            assert got["n_language_pairs"] == len({(pair["lang_a"], pair["lang_b"]) for pair in own})
            assert got["doc_share"] == shares.get(token_id, 0)
            assert got["rank"] == (pivots[token_id]["rank"] if token_id in pivots else None)
            assert any(part in (got["why_not"] or "") for part in reason.split("|"))
            assert (got["why_not"] is None) == (token_id in pivots)


def test_a_token_is_found_by_its_text(corpus: SmallCorpus, pivots: dict[int, Row]) -> None:
    best = min(pivots.values(), key=lambda row: row["rank"])
    code, out, _ = explain(explain_pivot.main, corpus, "--token", best["token"])
    assert code == 0
    assert out.splitlines()[0] == f"{best['token']!r} (id {best['token_id']}): pivot of rank 1"
    for arguments, message in (
        (["--token", " zzzzq"], "no token of the tokenizer has the text ' zzzzq'"),
        (["--token-id", "49152"], "--token-id 49152: expected 0 to 49151"),
    ):
        code, out, err = explain(explain_pivot.main, corpus, *arguments)
        assert (code, out, len(err)) == (2, "", 1)
        assert message in err[0]


def test_a_dry_run_names_what_would_be_explained(corpus: SmallCorpus, pivots: dict[int, Row]) -> None:
    source, doc_id, _, _ = corpus.documents[0]
    number, pivot = next(iter(pivots.items()))
    for main, arguments, line in (
        (explain_document.main, ["--source", source, "--id", doc_id], "would explain record "),
        (
            explain_pivot.main,
            ["--token-id", str(number)],
            f"would explain token {number}, {pivot['token']!r} (release ",
        ),
    ):
        code, out, err = explain(main, corpus, *arguments, "--dry-run")
        assert (code, err) == (0, [])
        assert out.splitlines()[-1].startswith(line)
    code, _, err = explain(explain_document.main, corpus, "--source", source, "--id", "missing", "--dry-run")
    assert (code, len(err)) == (2, 1)
