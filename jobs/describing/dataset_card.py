"""A dataset's card: Markdown with a YAML header, as the Hugging Face Hub reads it from ``README.md``."""

import json
import re

from jobs.describing.dataset_facts import DatasetFacts, comment_of
from jobs.describing.licenses import hub_licenses
from jobs.framework.markdown import plain, table
from jobs.report.templates import template
from pivot_udfs.arms import ARMS
from pivot_udfs.schemas import DATASET

_SIZES = {
    1_000: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M", 10**7: "1M<n<10M", 10**8: "10M<n<100M",
    10**9: "100M<n<1B", 10**10: "1B<n<10B", 10**11: "10B<n<100B", 10**12: "100B<n<1T",
}  # fmt: skip


_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""Characters that YAML excludes or reads as line ends, and JSON does not."""


def dataset_card(facts: DatasetFacts) -> str:
    """The card's text."""
    arm = ARMS[facts.arm]
    sources = [
        (*map(plain, (name, source.license or "not stated", source.url or "not stated", source.description)), *size)
        for name, size in facts.by_source.items()
        for source in [facts.sources[name]]
    ]
    columns = [(f"`{field.name}`", field.type, comment_of(field)) for field in DATASET]
    settings = facts.provenance.settings
    values = {
        "header": _header(facts),
        "arm": arm,
        "made": facts.provenance,
        "sources": sources,
        "languages": [(lang, *size) for lang, size in facts.by_language.items()],
        "columns": columns,
        "settings": [(f"`{key}`", plain(json.dumps(settings[key], ensure_ascii=False))) for key in sorted(settings)],
    }
    return template("dataset_card.md", {"plain": plain}, "jobs.describing").render(facts=facts, table=table, **values)


def _header(facts: DatasetFacts) -> str:
    """YAML, of which JSON values are a part."""
    fields = {
        "pretty_name": f"{facts.about.title}: {facts.arm}",
        "language": sorted(facts.languages),
        "license": sorted({name for stated in facts.licenses for name in hub_licenses(stated)}),
        "size_categories": [next((name for end, name in _SIZES.items() if facts.total.n_docs < end), "n>1T")],
        "task_categories": ["text-generation"],
        "tags": ["cross-lingual", "pretraining", "semantic-pivots"],
    }
    return "".join(f"{name}: {_as_yaml(value)}\n" for name, value in fields.items())


def _as_yaml(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
