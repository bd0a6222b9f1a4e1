"""Behaviour labels: whether a model goes straight from source to target word, or by way of a pivot token."""


def behaviour(top1_ids: list[int], top1_probabilities: list[float], source_ids: frozenset[int]) -> tuple[str, int]:
    """The behaviour label of a trace, and the layer (from 0) that decides it.

    The layer with the highest top-1 probability decides (ties: the later one). The label is ``direct`` if its top-1
    token is also that of the last layer, or a token of the source word, and ``pivot`` otherwise.

    Args:
        top1_ids: top-1 token of each layer, first layer first.
        top1_probabilities: their probabilities, 0..1.
        source_ids: tokens of the source word.
    """
    layer = max(range(len(top1_ids)), key=lambda index: (top1_probabilities[index], index))
    token = top1_ids[layer]
    return ("direct" if token == top1_ids[-1] or token in source_ids else "pivot"), layer


def word_behaviour(
    top1_ids: list[int],
    top1_probabilities: list[float],
    source_ids: frozenset[int],
    wordless_ids: frozenset[int],
) -> tuple[str, int]:
    """``behaviour`` without the layers whose top-1 token is only spaces or punctuation.

    Where a tokenizer encodes " 水" as a space and bytes, the space is the top-1 token of many middle layers, and
    ``behaviour`` counts it as a pivot. The last layer is always kept.
    """
    last = len(top1_ids) - 1
    kept = [index for index, token in enumerate(top1_ids) if index == last or token not in wordless_ids]
    label, place = behaviour(
        [top1_ids[index] for index in kept], [top1_probabilities[index] for index in kept], source_ids
    )
    return label, kept[place]
