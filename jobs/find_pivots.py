"""Counts in; ``pair_pivots`` (the tokens that tie two words together) and ``pivots`` (the hub tokens) out.

spark-submit jobs/find_pivots.py --config conf/demo.toml [--set table.key=value] [--dry-run]
"""

from functools import partial

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.framework.refresh import allowed_drift, drift_between
from jobs.framework.run_stages import run_job
from jobs.framework.stage import Run, Stage, make_provenance, of_table, why_anew
from jobs.framework.task_sizes import least_tasks, map_files
from jobs.warehouse.releases import read_release
from pivot_udfs.errors import WarehouseError
from pivot_udfs.find_pivots import (
    ASSOCIATIONS,
    PivotPlan,
    TokenFigures,
    associate_files,
    best_hubs,
    find_pair_pivots,
    pair_pivots,
)
from pivot_udfs.provenance import Provenance, difference
from pivot_udfs.schemas import PAIR_PIVOTS
from pivot_udfs.storage.typed_columns import pylist
from pivot_udfs.tokenization.vocabulary import vocabulary


def run(run: Run, provenance: Provenance) -> None:
    """Writes ``pair_pivots``, then ``pivots`` from it; if the pivots are pinned, only their drift is measured."""
    plan = pivot_plan(run)
    if run.pins and (reason := why_anew(run, STAGE, provenance)):
        run.progress.say(STAGE.name, f"refresh: {reason}")
    elif run.pins and _stay(run, plan):
        return
    with run.progress.watch(run.spark, STAGE.name, "pairs"):
        step = partial(find_pair_pivots, plan=plan)
        run.warehouse.write(_associations(run, plan), ["pair_pivots"], provenance, step)
    with run.progress.watch(run.spark, STAGE.name, "hubs"):
        hubs = best_hubs(run.warehouse.read_small("pair_pivots"), plan)
        run.warehouse.commit_rows("pivots", hubs, of_table(run, STAGE, "pivots", provenance))
    run.pivot_drift = 0.0


def why(run: Run, _: Provenance) -> str | None:
    """Why pinned pivots have to be compared with the counts; None where that was done and they stay."""
    drift = known_drift(run)
    if drift is None:
        return "the counts have changed"
    return f"{drift:.1%} of the pivot set would change" if drift > allowed_drift(run.settings.refresh) else None


def known_drift(run: Run) -> float | None:
    """The share of the pivot set that today's counts would change, in [0, 1]; None where no run has measured it."""
    provenance, pivots = make_provenance(run, STAGE), run.warehouse.content("pivots")
    if run.pivot_drift is not None or pivots is None or pivots.provenance is None:
        return run.pivot_drift
    if difference(pivots.provenance, of_table(run, STAGE, "pivots", provenance)) is None:
        return 0.0
    rows, release = {**provenance.tables, "pivots": pivots.rows}, read_release(run.warehouse.root)
    is_measured = release and all(release.holds(name, of) for name, of in rows.items())
    return release.pivot_drift if release and is_measured else None


def _stay(run: Run, plan: PivotPlan) -> bool:
    """Measures how much the pivots by today's counts differ from the pinned ones; whether these stay."""
    pinned = pylist(run.warehouse.read_small("pivots").column("token_id"))
    with run.progress.watch(run.spark, STAGE.name, "drift"):
        step = partial(pair_pivots, plan=plan)
        pairs = _associations(run, plan).mapInArrow(step, from_arrow_schema(PAIR_PIVOTS)).toArrow()
        found = [hub["token_id"] for hub in best_hubs(pairs, plan)]
    run.pivot_drift = drift_between(pinned, found)
    run.progress.say(STAGE.name, f"drift: today's counts would change {run.pivot_drift:.1%} of the pivot set")
    if pinned and run.pivot_drift <= allowed_drift(run.settings.refresh):
        return True
    limit = f"that is more than refresh.max_drift ({run.settings.refresh.max_drift:.1%})"
    run.progress.say(STAGE.name, f"refresh: {limit if pinned else 'there is no pivot'}")
    return False


def pivot_plan(run: Run) -> PivotPlan:
    """What the workers need, from the settings and the totals; raises WarehouseError where no document is counted."""
    n_docs = sum(pylist(run.warehouse.read_small("corpus_totals").column("n_docs")))
    if not n_docs:
        raise WarehouseError(f"{run.warehouse.table_path('corpus_totals')} counts no document: tokenize a corpus first")
    numbers, words = run.lexicon.word_numbers(), run.warehouse.read_small("word_totals")
    word_docs = np.zeros(len(numbers), np.int64)
    names = zip(pylist(words.column("lang")), pylist(words.column("word")), strict=True)
    word_docs[[numbers[name] for name in names]] = words.column("doc_count").to_numpy()
    tokens = token_figures(run, n_docs)
    return PivotPlan(run.lexicon, run.tokenizer, run.settings.pivots, n_docs, word_docs, tokens)


def token_figures(run: Run, n_docs: int) -> TokenFigures:
    """What is known of every token, from the counts."""
    vocab = vocabulary(run.tokenizer)
    counts, docs, words, sources = (np.zeros(vocab.size, np.int64) for _ in range(4))
    totals, groups = map(run.warehouse.read_small, ("token_totals", "token_sources"))
    counts[totals.column("token_id").to_numpy()] = totals.column("count").to_numpy()
    docs[totals.column("token_id").to_numpy()] = totals.column("doc_count").to_numpy()
    np.add.at(words, groups.column("token_id").to_numpy(), groups.column("word_count").to_numpy())
    np.add.at(sources, groups.column("token_id").to_numpy(), 1)
    usable = vocab.has_letter.copy()
    usable[list(vocab.special_ids)] = False
    return TokenFigures(docs, docs / n_docs, words / np.maximum(counts, 1), sources, usable)


def _associations(run: Run, plan: PivotPlan) -> DataFrame:
    """Rows of ASSOCIATIONS with all of a concept in one partition, by concept and word."""
    table = run.warehouse.location("token_cooccurrence")
    step = partial(associate_files, folder=table.uri, plan=plan)
    rows = map_files(run.spark, run.warehouse.files("token_cooccurrence"), step, ASSOCIATIONS)
    n_tasks = min(least_tasks(run.spark), len(plan.lexicon.concepts))
    return rows.repartition(n_tasks, "concept").sortWithinPartitions("concept", "word")


STAGE = Stage(
    name="find_pivots",
    version=6,
    reads=("corpus_totals", "word_totals", "token_totals", "token_sources", "token_cooccurrence"),
    sections=("pivots", "lexicon"),
    files=("tokenizer", "lexicon"),
    packages=("regex", "sentencepiece", "tokenizers"),
    run=run,
    why=why,
    first=("pair_pivots",),
)


main = partial(run_job, STAGE, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())
