"""Explains one token: the pairs that make it a pivot, or why it is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import pyarrow.dataset as ds

from jobs.explaining.explain_place import best_first
from jobs.explaining.table_states import States, provenance_of, states_of
from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.errors import ConfigError
from pivot_udfs.schemas import PAIR_PIVOTS
from pivot_udfs.tokenization.vocabulary import Vocabulary

_READ = ("token_totals", "corpus_totals", "pair_pivots", "pivots")
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
    raise ConfigError(f"no token of the tokenizer has the text {text!r}{hint}: spaces and case count")


def explain_token(tables: ArrowTables, vocab: Vocabulary, token_id: int) -> TokenExplanation:
    """Explains a token; raises ConfigError where the vocabulary has no such id, WarehouseError as ``states_of``."""
    if not 0 <= token_id < vocab.size:
        raise ConfigError(f"--token-id {token_id}: expected 0 to {vocab.size - 1}")
    states, is_token = states_of(tables, _READ), ds.field("token_id") == token_id
    n_docs = sum(row["n_docs"] for row in tables.rows("corpus_totals", ["n_docs"], _EVERY))
    doc_count = sum(row["doc_count"] for row in tables.rows("token_totals", ["doc_count"], is_token))
    columns = [name for name in PAIR_PIVOTS.names if name not in ("token_id", "token")]
    pairs = tuple(best_first(tables.rows("pair_pivots", columns, is_token)))
    ranks = [row["rank"] for row in tables.rows("pivots", ["rank"], is_token)]
    score = reduce(add, sorted(pair["score"] for pair in pairs), 0.0)  # in the order of find_pivots
    share = doc_count / max(n_docs, 1)
    return TokenExplanation(
        token_id=token_id,
        token=vocab.texts[token_id],
        rank=ranks[0] if ranks else None,
        why_not=None if ranks else _why_not(tables, vocab, token_id, share, score if pairs else None),
        score=score,
        n_concepts=len({pair["concept"] for pair in pairs}),
        n_language_pairs=len({(pair["lang_a"], pair["lang_b"]) for pair in pairs}),
        doc_share=share,
        pairs=pairs,
        tables=states,
    )


def _why_not(tables: ArrowTables, vocab: Vocabulary, token_id: int, share: float, score: float | None) -> str:
    """Why a token is no pivot, by the settings that the pivots were found with; score None: it has no pair."""
    pivots = provenance_of(tables, "pivots").settings
    if token_id in vocab.special_ids:
        return "it is a special token"
    if not vocab.has_letter[token_id]:
        return "it has no letter"
    if not share:
        return "it occurs in no document"
    least_docs, largest_share, n_pivots = (
        pivots[f"pivots.{key}"] for key in ("min_doc_count", "max_doc_share", "n_pivots")
    )
    if score is None:
        return (
            f"it is a pair pivot of no word pair: none has at least {least_docs} documents with it on both sides "
            f"(min_doc_count), scores above min_score, and it among the best {pivots['pivots.pivots_per_pair']}"
        )
    if share > largest_share:
        return f"it is a background token: it is in {share:.2%} of all documents, max_doc_share is {largest_share:.2%}"
    rows = tables.rows("pivots", ["score"], ds.field("rank") == n_pivots)
    last = f" {rows[0]['score']:.6g}" if rows else ""
    return f"its score {score:.6g} is not above that of the last pivot{last} (n_pivots = {n_pivots:,})"
