"""The public summary of training content by the European Commission's template of July 2025 (Article 53(1)(d) AI Act).

It describes what a dataset contributes to a model's training; the model's own identity is not known here.
"""

from jobs.describing.dataset_facts import DatasetFacts
from jobs.framework.markdown import plain, table
from jobs.report.templates import template
from pivot_udfs.arms import ARMS
from pivot_udfs.setting_sections.description_settings import SourceKind

_SIZES = ((10**9, "less than 1 billion tokens"), (10**13, "1 billion to 10 trillion tokens"))
_SECTIONS: dict[SourceKind, str] = {
    "public_dataset": "2.1 Publicly available datasets",
    "licensed": "2.2.1 Datasets commercially licensed by rightsholders or their representatives",
    "private": "2.2.2 Private datasets obtained from other third parties",
    "crawled": "2.3 Data crawled and scraped from online sources",
    "user": "2.4 User data",
    "synthetic": "2.5 Synthetic data",
    "other": "2.6 Other sources of data",
}
_NOT_STATED = "Not stated in the configuration."


def training_summary(facts: DatasetFacts) -> str:
    """The summary as Markdown."""
    total = facts.total
    range_of_size = next((name for end, name in _SIZES if total.n_tokens < end), "more than 10 trillion tokens")
    dates = sorted({source.collected for source in facts.sources.values() if source.collected})
    languages = [(lang, n, f"{n / max(1, total.n_tokens):.1%}") for lang, (_, n) in facts.by_language.items()]
    values = {
        "arm": ARMS[facts.arm],
        "size": range_of_size,
        "dates": dates,
        "languages": languages,
        "sections": [(title, _sources(facts, kind)) for kind, title in _SECTIONS.items()],
        "not_stated": _NOT_STATED,
    }
    return template("training_summary.md", {"plain": plain}, "jobs.describing").render(
        facts=facts, table=table, **values
    )


def _sources(facts: DatasetFacts, kind: SourceKind) -> list[tuple[object, ...]]:
    none = "not stated"
    return [
        (*map(plain, (name, source.description, source.license or none, source.url or none, source.collected)), *size)
        for name, size in facts.by_source.items()
        if (source := facts.sources[name]).kind == kind
    ]
