"""Explains one token: the pairs that make it a pivot, or why it is none."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import pyarrow.dataset as ds

from jobs.explaining.explain_record import best_first
from jobs.explaining.table_states import States, states_of
from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.errors import ConfigError
from pivot_udfs.schemas import PAIR_PIVOTS
from pivot_udfs.tokenization.vocabulary import Vocabulary

TOKEN_TABLES = ("token_totals", "token_sources", "corpus_totals", "pair_pivots", "pivots")
_EVERY = ds.scalar(True)


@dataclass(frozen=True)
class TokenExplanation:
    """What the corpus says of a token."""

    token_id: int
    token: str
    rank: int | None
    """Among the pivots; None where it is none."""
    why_not: str | None
    """Why it is no pivot; None where it is one."""
    score: float
    """Sum of its scores over all pairs."""
    n_concepts: int
    n_language_pairs: int
    doc_share: float
    """Share of all documents with the token, in [0, 1]."""
    word_share: float
    """Share of its occurrences in which it is a whole word, in [0, 1]."""
    n_sources: int
    """Groups of sources with the token, at most 32."""
    pairs: tuple[Mapping[str, Any], ...]
    """Its rows of ``pair_pivots``, best first."""
    tables: States


def token_id_of(vocab: Vocabulary, text: str) -> int:
    """The id of the token with a text, as in the column ``token``; raises ConfigError where not exactly one has it."""
    ids = [token_id for token_id, token in enumerate(vocab.texts) if token == text]
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise ConfigError(f"{len(ids)} tokens have the text {text!r}: choose one by --token-id ({ids[:10]})")
    near = [repr(token) for token in dict.fromkeys(vocab.texts) if token.strip().lower() == text.strip().lower()]
    hint = f"; there is {', '.join(near[:10])}" if near else ""
    raise ConfigError(f"no token of the tokenizer has the text {text!r}{hint}: spaces and case must match")


def explain_token(tables: ArrowTables, vocab: Vocabulary, token_id: int) -> TokenExplanation:
    """Explains a token of the vocabulary; raises WarehouseError as ``states_of``."""
    states, is_token = states_of(tables, TOKEN_TABLES), ds.field("token_id") == token_id
    n_docs = sum(row["n_docs"] for row in tables.rows("corpus_totals", ["n_docs"], _EVERY))
    totals = tables.rows("token_totals", ["count", "doc_count"], is_token)
    groups = tables.rows("token_sources", ["word_count"], is_token)
    columns = [name for name in PAIR_PIVOTS.names if name not in ("token_id", "token")]
    pairs = tuple(best_first(tables.rows("pair_pivots", columns, is_token)))
    ranks = [row["rank"] for row in tables.rows("pivots", ["rank"], is_token)]
    token = TokenExplanation(
        token_id=token_id,
        token=vocab.texts[token_id],
        rank=ranks[0] if ranks else None,
        why_not=None,
        score=reduce(add, sorted(pair["score"] for pair in pairs), 0.0),  # in the order of find_pivots
        n_concepts=len({pair["concept"] for pair in pairs}),
        n_language_pairs=len({(pair["lang_a"], pair["lang_b"]) for pair in pairs}),
        doc_share=sum(row["doc_count"] for row in totals) / max(n_docs, 1),
        word_share=sum(row["word_count"] for row in groups) / max(sum(row["count"] for row in totals), 1),
        n_sources=len(groups),
        pairs=pairs,
        tables=states,
    )
    return token if ranks else replace(token, why_not=_why_not(tables, vocab, token))


def _why_not(tables: ArrowTables, vocab: Vocabulary, token: TokenExplanation) -> str:
    """Why a token is no pivot, by the settings that the pivots were found with: the first reason that holds."""
    of_pivots = tables.provenance("pivots").settings
    limits = {key.removeprefix("pivots."): value for key, value in of_pivots.items() if key.startswith("pivots.")}
    rows = tables.rows("pivots", ["score"], ds.field("rank") == limits["n_pivots"])
    last = f" {rows[0]['score']:.6g}" if rows else ""
    reasons = {
        "it is a special token": token.token_id in vocab.special_ids,
        "it has no letter": not vocab.has_letter[token.token_id],
        "it occurs in no document": not token.doc_share,
        f"it is a piece of words: it is a whole word in {token.word_share:.1%} of its occurrences, min_word_share is "
        f"{limits['min_word_share']:.1%}": token.word_share < limits["min_word_share"],
        f"it is a pair pivot of no word pair: none has at least {limits['min_doc_count']} documents with it on both "
        f"sides (min_doc_count), scores above min_score, and it among the best {limits['pivots_per_pair']}": (
            not token.pairs
        ),
        f"it is a background token: it is in {token.doc_share:.2%} of all documents, max_doc_share is "
        f"{limits['max_doc_share']:.2%}": token.doc_share > limits["max_doc_share"],
        f"it serves {token.n_concepts} concepts, min_concepts is {limits['min_concepts']}": (
            token.n_concepts < limits["min_concepts"]
        ),
        f"it occurs in {token.n_sources} groups of sources, min_sources is {limits['min_sources']}": (
            token.n_sources < limits["min_sources"]
        ),
    }
    too_low = (
        f"its score {token.score:.6g} is not above that of the last pivot{last} (n_pivots = {limits['n_pivots']:,})"
    )
    return next((reason for reason, holds in reasons.items() if holds), too_low)
