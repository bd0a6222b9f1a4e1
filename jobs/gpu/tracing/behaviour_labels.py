"""Behaviour labels: whether a model goes straight from source to target word, or by way of a pivot."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

LATENT_LABELS = ("pivot", "direct", "undecided")


def behaviour(top1_ids: list[int], top1_probabilities: list[float], source_ids: frozenset[int]) -> tuple[str, int]:
    """The behaviour label of the paper, and the layer (from 0) that decides it.

    The layer with the highest top-1 probability decides (ties: the later one). The label is ``direct`` if its top-1
    token is also that of the last layer, or a token of the source word, and ``pivot`` otherwise. Lists are by layer,
    the first first.
    """
    layer = max(range(len(top1_ids)), key=lambda index: (top1_probabilities[index], index))
    token = top1_ids[layer]
    return ("direct" if token == top1_ids[-1] or token in source_ids else "pivot"), layer


class Latent(NamedTuple):
    """A latent-language label, and the third language and layer (from 0) that decide it; None if none can."""

    label: str
    language: str | None
    layer: int | None


def latent_behaviour(
    p: Mapping[str, Sequence[float]],
    reached: Mapping[str, Sequence[float]],
    decides: Sequence[bool],
    level: float,
    control_share: float,
) -> Latent:
    """Whether the concept's word in a third language appears in a middle layer.

    ``pivot`` if in a middle layer (any but the last) its probability ``p`` is above ``level`` and less than
    ``control_share`` of the other concepts reach it (``reached``); the layer and language with the highest probability
    among these decide. ``direct`` otherwise; language and layer are then those with the highest probability.
    ``undecided`` if no middle layer ``decides``: only those do whose best token is a word. All shares are 0..1, by
    third language in which the word has a whole-character token, and layer.
    """
    places = [
        (p[language][layer] > level and reached[language][layer] < control_share, p[language][layer], layer, language)
        for language in p
        for layer, is_word in enumerate(decides[:-1])
        if is_word
    ]
    if not places:
        return Latent("undecided", None, None)
    passed, _, layer, language = max(places)
    return Latent("pivot" if passed else "direct", language, layer)
