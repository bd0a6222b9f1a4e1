"""Reads the tables for the report; Spark aggregates, and the driver receives a bounded number of rows.

Which documents an arm has follows from their scores and the cuts: datasets are read for the examples only, by key.
"""

from functools import partial

from pyspark.sql import functions as F

from jobs.framework.stage import Run
from jobs.report.arm_budgets_and_mixes import compared_arms, read_arms, read_mixes, sums_by_group, sums_by_language
from jobs.report.density_by_language import read_densities
from jobs.report.marked_examples import read_examples
from jobs.report.releases_section import read_drift
from jobs.report.report_types import Report
from jobs.report.sources_and_quarantine import read_intake
from jobs.report.word_pairs_and_pivots import read_language_pairs, read_pivots
from jobs.selection.budgets import unmatched
from jobs.selection.select_documents import Cuts, mark_documents
from jobs.warehouse.releases import read_release
from pivot_udfs.arms import PIVOT
from pivot_udfs.load_settings import result_settings
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import STAGE_TABLES
from pivot_udfs.settings import Selection, Settings

N_LANGUAGE_PAIRS = 12


def read_report(run: Run) -> Report:
    """Everything that the page shows, from the tables of the run."""
    selection, cuts = run.settings.selection, Cuts.from_rows(run.warehouse.read_small("selection_cuts").to_pylist())
    mark = partial(mark_documents, run.warehouse.read("document_scores"), cuts, selection)
    taken = (F.col(PIVOT) if PIVOT in selection.arms else F.lit(False)).alias("taken")
    marked = mark(selection.arms).select("*", taken)
    by_group = sums_by_group(marked, selection.arms).persist()
    languages = sums_by_language(by_group, selection.arms)
    mixes = read_mixes(by_group, languages, selection.arms)
    by_group.unpersist()
    densities = read_densities(mark([PIVOT]).select("*", taken), languages)
    examples = read_examples(run, marked, [language.lang for language in densities])
    pairs = read_language_pairs(run)
    return Report(
        warehouse=run.warehouse.path,
        window=str(run.settings.cooccurrence.window),
        association=run.settings.pivots.association,
        rule=_rule(selection),
        shrinkage_tokens=selection.shrinkage_tokens,
        min_doc_count=run.settings.pivots.min_word_doc_count,
        n_pivots=run.warehouse.read_small("pivots").num_rows,
        intake=read_intake(run, languages, next(mix for mix in mixes if mix.kind == "source")),
        language_pairs=pairs[:N_LANGUAGE_PAIRS],
        n_language_pairs=len(pairs),
        pivots=read_pivots(run),
        drift=read_drift(run),
        densities=densities,
        arms=read_arms(selection, languages, unmatched(cuts.cuts)),
        compared=compared_arms(selection.arms),
        mixes=mixes,
        examples=examples,
        tables=_table_notes(run),
        settings=_settings(run.settings),
        release=read_release(run.warehouse.root, run.release) if run.release is not None else None,
    )


def _table_notes(run: Run) -> tuple[tuple[str, int, Provenance], ...]:
    names = (*STAGE_TABLES, *(f"datasets/{arm}" for arm in run.settings.selection.arms))
    contents = [(name, content) for name in names if (content := run.warehouse.content(name))]
    return tuple((name, content.version, content.provenance) for name, content in contents if content.provenance)


def _rule(selection: Selection) -> str:
    if selection.rule == "top_share":
        return f"the densest {selection.share:.0%} of each language's tokens"
    if selection.rule == "threshold":
        return f"all documents with a shrunken density of {selection.threshold:g} or more"
    return f"the densest documents, {selection.tokens:,} tokens in all"


def _settings(settings: Settings) -> dict[str, str]:
    sections = (settings.corpus, settings.lexicon, settings.cooccurrence, settings.pivots, settings.selection)
    return {key: str(value) for key, value in result_settings(*sections).items()}
