"""How a translation pair is written in a prompt: a style's name, or a template of one's own."""

import string
from collections.abc import Sequence

from jobs.report.language_names import LANGUAGE_NAMES
from pivot_udfs.errors import LexiconError

STYLES = {
    "plain": "{source_language}: {source}\n{target_language}: {target}",
    "quoted": '{source_language}: "{source}"\n{target_language}: "{target}"',
}
"""The templates that have a name."""
FIELDS = ("source_language", "source", "target_language", "target")


def language_name(code: str) -> str:
    """The English name of a language; raises LexiconError where the name of this language is not listed."""
    if code not in LANGUAGE_NAMES:
        raise LexiconError(f"language {code!r} has no English name in jobs/report/language_names.py: add it there")
    return LANGUAGE_NAMES[code]


def template_of(prompt: str) -> str:
    """The template of a style's name, or the template itself.

    Raises:
        ValueError: it is neither a name nor a template with the four fields of ``FIELDS``, each once and in that order.
    """
    template = STYLES.get(prompt, prompt)
    fields = tuple(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)
    if fields != FIELDS:
        wanted = " ".join(f"{{{name}}}" for name in FIELDS)
        raise ValueError(
            f"{prompt!r} is neither {' nor '.join(map(repr, STYLES))} nor a template with {wanted}, each once and in "
            "this order"
        )
    return template


class PromptStyle:
    """The prompts of one style (see ``template_of``)."""

    def __init__(self, prompt: str = "plain") -> None:
        self._template = template_of(prompt)

    def pair(self, source: str, target: str, a: str, b: str) -> str:
        """One pair, written out: word ``a`` of language ``source`` and its translation ``b``."""
        names = {"source_language": language_name(source), "target_language": language_name(target)}
        return self._template.format(source=a, target=b, **names)

    def head(self, source: str, target: str, examples: Sequence[tuple[str, str]]) -> str:
        """The part of a prompt that all words of a draw share: instruction and examples."""
        shown = "".join(self.pair(source, target, a, b) + "\n\n" for a, b in examples)
        return f"Please translate words from {language_name(source)} to {language_name(target)}.\n\n{shown}"

    def tail(self, source: str, target: str, word: str) -> str:
        """The part of a prompt that contains the word, up to the answer and the white space before it."""
        before = self._template.partition("{target}")[0].rstrip()
        names = {"source_language": language_name(source), "target_language": language_name(target)}
        return before.format(source=word, **names)

    def before_answer(self, language: str, word: str) -> tuple[str, str]:
        """The text between source word and answer, and the same with the answer ``word`` of ``language``."""
        between = self._template.partition("{source}")[2].partition("{target}")[0]
        text = between.format(target_language=language_name(language))
        return text.rstrip(), text + word
