"""The public summary of training content by the European Commission's template of July 2025 (Article 53(1)(d) AI Act).

It describes what a dataset contributes to a model's training; the model's own identity is not known here.
"""

from jobs.describing.dataset_facts import DatasetFacts
from jobs.framework.markdown import table
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
    total, arm = facts.total, ARMS[facts.arm]
    range_of_size = next((name for end, name in _SIZES if total.n_tokens < end), "more than 10 trillion tokens")
    dates = sorted({source.collected for source in facts.sources.values() if source.collected})
    languages = [(lang, n, f"{n / max(1, total.n_tokens):.1%}") for lang, (_, n) in facts.by(1).items()]
    sources = "\n".join(_sources(facts, kind, title) for kind, title in _SECTIONS.items())
    return f"""# Public summary of training content: {facts.about.title}, {facts.arm}

Written from release {facts.release} of {facts.published}.

## 1. General information

### 1.1 Provider

{facts.about.provider or _NOT_STATED}

### 1.2 Model

To be named by the provider of each model that is trained on this dataset.

### 1.3 Modalities, size and other characteristics

{table(["modality", "size", "tokens", "documents"], [("text", range_of_size, total.n_tokens, total.n_docs)])}

No images, audio, video or other modalities. Collected: {"; ".join(dates) or _NOT_STATED}

{table(["language", "tokens", "share"], languages)}

`mul` stands for several languages in one document.

## 2. Data sources

{sources}
## 3. Data processing

### 3.1 Reservations of rights from text and data mining

{facts.about.reservations or _NOT_STATED}

### 3.2 Removal of illegal content

{facts.about.illegal_content or _NOT_STATED}

### 3.3 Other information

Records that are not valid were rejected and listed. The dataset was then selected from the corpus: {arm.description}
Texts were not changed. Documents that are withdrawn are removed from every table and stay out of later releases.
"""


def _sources(facts: DatasetFacts, kind: SourceKind, title: str) -> str:
    rows = [
        (name, source.description, source.license or "not stated", source.url or "not stated", source.collected, *size)
        for name, size in facts.by(0).items()
        if (source := facts.sources[name]).kind == kind
    ]
    head = ["source", "contents", "licence", "origin", "collected", "documents", "tokens"]
    return f"### {title}\n\n{table(head, rows) if rows else 'None.'}\n"
