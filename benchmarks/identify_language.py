"""Languages of documents that do not name theirs, on one core.

    python -m benchmarks.identify_language --corpus FOLDER

Against py3langid's own loop, which gives one label a text: where ours says one language, the library has to say the
same of the same sample. Then how often the label is the shards' own ``lang``. Target: 20 MB/s.
"""

from importlib.metadata import version
from typing import Any

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from benchmarks.common import in_turn, median, parse, read_documents, report, text_megabytes
from pivot_udfs.text.identify_language import MULTILINGUAL, UNDETERMINED, identify_languages, language_model, sample

_BATCH = 1_000
_LIBRARY_DOCUMENTS = 1_000


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    documents = read_documents(arguments.corpus)
    texts = [document.text for document in documents]
    some = documents[:: max(1, len(documents) // _LIBRARY_DOCUMENTS)]
    library = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    library.set_languages(language_model()[0])

    labels = ours(texts)
    theirs = [library.classify(sample(document.text))[0] for document in some]
    _check(ours([document.text for document in some]), theirs)
    times = in_turn(
        arguments.repeats,
        ours=lambda: ours(texts),
        library=lambda: [library.classify(sample(document.text)) for document in some],
    )
    rates = {
        "ours": text_megabytes(documents) / median(times["ours"]),
        "library": text_megabytes(some) / median(times["library"]),
    }
    figures: dict[str, Any] = {
        "documents": len(documents),
        "megabytes": round(text_megabytes(documents), 1),
        "ours_documents_per_s": round(len(documents) / median(times["ours"])),
        "ours_mb_per_s": round(rates["ours"], 1),
        "library_mb_per_s": round(rates["library"], 2),
        "ratio": round(rates["ours"] / rates["library"], 1),
        "target_mb_per_s": 20,
        "py3langid": version("py3langid"),
    }
    given = [document.lang or UNDETERMINED for document in documents]
    report("identify_language", figures | {"as_in_the_shards": agreement(given, labels)})


def ours(texts: list[str]) -> list[str]:
    """Labels of all, batch by batch."""
    return [label for k in range(0, len(texts), _BATCH) for label in identify_languages(texts[k : k + _BATCH])]


def agreement(given: list[str], found: list[str]) -> dict[str, str]:
    """Of each language's documents, how many were found to be of it."""
    pairs = list(zip(given, found, strict=True))
    counts = {language: sum(a == language for a, _ in pairs) for language in sorted(set(given))}
    return {language: f"{sum(a == b == language for a, b in pairs)} of {count}" for language, count in counts.items()}


def _check(labels: list[str], theirs: list[str]) -> None:
    pairs = [(a, b) for a, b in zip(labels, theirs, strict=True) if a not in (MULTILINGUAL, UNDETERMINED)]
    wrong = [pair for pair in pairs if pair[0] != pair[1]]
    assert len(pairs) > len(labels) / 4, "hardly a text is of one language"
    assert len(wrong) <= len(pairs) / 1000, f"the library says otherwise: {wrong[:5]}"


if __name__ == "__main__":
    main()
