"""Lexical retrieval: whether a translation is the nearest of all target words of a direction, in every layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jobs.gpu.models.output_head import captured_outputs
from jobs.gpu.translation.prompt_runner import PromptRunner
from jobs.gpu.translation.prompt_styles import language_name
from jobs.gpu.translation.translation_task import TaskWord
from jobs.gpu.translation.word_tokens import WordTokens


def retrieval_ranks(
    runner: PromptRunner, layers: nn.ModuleList, tokens: WordTokens, words: Sequence[TaskWord]
) -> list[list[int]]:
    """Per word and layer, how many other target words of the direction are at least as near to the source word.

    Near is the cosine of the layer's outputs at the words' last tokens; 0: the word's own translation is retrieved.
    ``words`` are all of one direction.
    """
    source, target = words[0].direction.split("-")
    place = {word: k for k, word in enumerate(dict.fromkeys(word.target for word in words))}
    asked = _represented(runner, layers, tokens, source, [word.source for word in words])
    cosines = asked @ _represented(runner, layers, tokens, target, list(place)).transpose(1, 2)
    own = torch.tensor([place[word.target] for word in words])
    reached = cosines >= cosines[:, torch.arange(len(words)), own, None]
    reached[:, torch.arange(len(words)), own] = False
    return reached.sum(dim=-1).T.tolist()


def _represented(
    runner: PromptRunner, layers: nn.ModuleList, tokens: WordTokens, language: str, words: Sequence[str]
) -> Tensor:
    """Unit vectors, float32 (layers, words, hidden size): every layer's output at the last token of ``French: eau``."""
    prompts, parts, order = tokens.prompts([f"{language_name(language)}: {word}" for word in words]), [], list[int]()
    with captured_outputs(layers) as outputs:
        for last in runner.run(prompts):
            parts.append(torch.stack([last.of(output) for output in outputs]).float().cpu())
            order += last.rows
    found: Tensor = nn.functional.normalize(torch.cat(parts, dim=1)[:, torch.tensor(order).argsort()], dim=-1)
    return found
