"""Scores against a plain computation of the definition, with and without a shared prefix, for several families."""

# ruff: noqa: E402
import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from tiny_models import tiny_model

from jobs.gpu.translation.prompt_runner import PromptRunner, batches_of_one_length, reuse_is_exact, shared_prefix_length
from jobs.gpu.translation.score_words import draw_prompts, longest_sequence, score_draw
from jobs.gpu.translation.translation_task import Task, TaskWord
from jobs.gpu.translation.word_tokens import WordTokens
from pivot_udfs.provenance import Provenance

pytestmark = pytest.mark.torch
EXAMPLES = [("pain", "面包"), ("chat", "猫")]
WORDS = [
    TaskWord("fr-zh", 0, "eau", "水", ("maison", "livre", "lune")),
    TaskWord("fr-zh", 1, "maison", "房子", ("eau", "livre", "soleil")),
    TaskWord("fr-zh", 2, "œil", "眼睛", ("eau", "arbre", "soleil")),
]


def _by_definition(model: object, tokens: WordTokens, source: str, target: str) -> float:
    """P(y | w) written out: one full forward pass, the mean of the target tokens' log-probabilities."""
    shown = "".join(f"French: {a}\nChinese: {b}\n\n" for a, b in EXAMPLES)
    prompt = f"Please translate words from French to Chinese.\n\n{shown}French: {source}\nChinese:"
    start, whole = tokens.ids(prompt), tokens.ids(f"{prompt} {target}")
    with torch.no_grad():
        logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)  # type: ignore[operator]
    found = [float(logits[place - 1, whole[place]]) for place in range(len(start), len(whole))]
    return math.exp(sum(found) / len(found))


def _passes(model: Any) -> list[int]:
    """Tokens of each forward pass from now on, in one growing list."""
    seen: list[int] = []
    model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    return seen


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("family", ["llama", "olmo", "olmo2", "qwen3", "gpt_neox", "gemma2", "gpt2"])
def test_scores_equal_the_definition(family: str, reuse: bool, tokens: WordTokens) -> None:
    model = tiny_model(family, vocabulary=400)
    true, false, contrast = score_draw(PromptRunner(model, 2, reuse), WORDS, EXAMPLES, tokens)
    for row, word in enumerate(WORDS):
        others = [_by_definition(model, tokens, other, word.target) for other in word.distractors]
        own = _by_definition(model, tokens, word.source, word.target)
        assert true[row] == pytest.approx(own, rel=2e-3)
        assert contrast[row] == pytest.approx(math.log(own) - sum(map(math.log, others)) / 3, abs=2e-3)
        assert false[row] == pytest.approx(sum(others) / 3, rel=2e-3)


def test_batch_size_does_not_matter(tokens: WordTokens) -> None:
    model = tiny_model(vocabulary=400)
    one, many = (score_draw(PromptRunner(model, size), WORDS, EXAMPLES, tokens) for size in (1, 64))
    np.testing.assert_allclose(one[0], many[0], rtol=1e-4)
    np.testing.assert_allclose(one[1], many[1], rtol=1e-4)
    np.testing.assert_allclose(one[2], many[2], atol=1e-4)


def test_reuse_computes_far_fewer_tokens(tokens: WordTokens) -> None:
    model = tiny_model(vocabulary=400)
    seen = _passes(model)
    counts = []
    for reuse in (True, False):
        seen.clear()
        score_draw(PromptRunner(model, 8, reuse), WORDS, EXAMPLES, tokens)
        counts.append(sum(seen))
    assert counts[0] * 3 < counts[1]


def test_with_reuse_every_distinct_prefix_is_computed_once() -> None:
    model = tiny_model()
    seen = _passes(model)
    prompts = [[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 6]]
    pairs = [(0, [7]), (0, [7, 8, 9]), (0, [7, 6]), (1, [7, 8]), (2, [3, 4]), (2, [3, 5])]
    PromptRunner(model, 8).mean_log_probabilities(prompts, pairs)
    assert seen == [2, len([(3,), (3, 4), (3, 5), (6,)]) + len([(4, 7), (4, 7, 8), (5, 7), (6, 3)])]


def test_without_reuse_no_pass_is_repeated() -> None:
    model = tiny_model()
    seen: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.extend(map(tuple, kwargs["input_ids"].tolist())), with_kwargs=True
    )
    prompts = [[1, 2, 3], [1, 2, 4, 5]]
    pairs = [(0, [7]), (0, [7, 8, 9]), (0, [7, 8]), (0, [6, 5]), (1, [7]), (1, [8])]
    got = PromptRunner(model, 4, reuse=False).mean_log_probabilities(prompts, pairs)
    assert sorted(seen) == [(1, 2, 3), (1, 2, 3, 6), (1, 2, 3, 7), (1, 2, 3, 7, 8), (1, 2, 4, 5)]
    assert got == pytest.approx(PromptRunner(model, 4).mean_log_probabilities(prompts, pairs), abs=1e-4)


def test_reuse_is_off_for_a_model_that_ignores_its_cache() -> None:
    assert reuse_is_exact(tiny_model("gemma2"))
    model = tiny_model()
    forward = model.forward
    model.forward = lambda **keys: forward(**(keys | {"past_key_values": None}))
    assert not reuse_is_exact(model)


def test_reuse_is_off_for_a_model_that_alters_its_cache() -> None:
    model = tiny_model()
    forward, given = model.forward, []

    def alters(**keys: Any) -> Any:
        cache = keys.get("past_key_values")
        given.extend([] if cache is None else [layer.keys for layer in cache.layers])
        result = forward(**keys)
        for tensor in given:
            tensor.zero_()
        return result

    model.forward = alters
    assert not reuse_is_exact(model)


def test_the_reason_why_prefix_reuse_is_off_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model()

    def broken(**_keys: object) -> None:
        raise RuntimeError("no kernel for this")

    model.forward = broken
    assert not reuse_is_exact(model)
    assert "no kernel for this" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("family", "exact"), [("mamba", False), ("bloom", False), ("mistral", False), ("mistral_short", True)]
)
def test_prompts_are_computed_in_full_for_models_that_cannot_reuse_a_prefix(
    family: str, exact: bool, tokens: WordTokens
) -> None:
    model = tiny_model(family, vocabulary=400)
    task = Task(Provenance("task", 1), {}, {"fr-zh": [EXAMPLES]}, {"fr-zh": ()}, WORDS)
    length = longest_sequence(task, tokens)
    assert 32 < length < 160, "longer than the window of 'mistral', shorter than that of 'mistral_short'"
    assert reuse_is_exact(model, length) == exact
    true, *_ = score_draw(PromptRunner(model, 64, exact), WORDS, EXAMPLES, tokens)
    for row, word in enumerate(WORDS):
        assert true[row] == pytest.approx(_by_definition(model, tokens, word.source, word.target), rel=2e-3)


def test_the_tolerance_of_reuse_follows_autocast() -> None:
    model = tiny_model("smollm", vocabulary=400)
    with torch.autocast("cpu", torch.bfloat16):
        assert reuse_is_exact(model)


def test_out_of_memory_in_the_test_of_reuse_is_raised() -> None:
    model = tiny_model()

    def full(**_keys: object) -> None:
        raise torch.OutOfMemoryError("full")

    model.forward = full
    with pytest.raises(torch.OutOfMemoryError):
        reuse_is_exact(model)


def test_the_longest_sequence_is_a_prompt_with_an_answer(tokens: WordTokens) -> None:
    task = Task(Provenance("task", 1), {}, {"fr-zh": [EXAMPLES[:1], EXAMPLES]}, {"fr-zh": ()}, WORDS)
    prompts = draw_prompts(["eau", "maison", "œil", "livre", "lune", "soleil", "arbre"], "fr-zh", EXAMPLES, tokens)
    answers = [tokens.answer("zh", word.target) for word in WORDS]
    assert longest_sequence(task, tokens) == max(map(len, prompts)) + max(map(len, answers))


def test_shared_prefix_leaves_a_token_to_each_prompt() -> None:
    assert shared_prefix_length([[1, 2, 3], [1, 2, 4]]) == 2
    assert shared_prefix_length([[1, 2], [1, 2, 3]]) == 1
    assert shared_prefix_length([[1], [2]]) == 0


def test_batches_have_one_length_and_hold_every_prompt_once() -> None:
    lengths = [3, 1, 3, 2, 3, 1]
    batches = list(batches_of_one_length(lengths, 2))
    assert sorted(index for batch in batches for index in batch) == list(range(6))
    assert all(len({lengths[index] for index in batch}) == 1 and len(batch) <= 2 for batch in batches)


def test_out_of_memory_halves_the_batch_size_once_for_good(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = []

    def work(runner: PromptRunner) -> str:
        sizes.append(runner.batch_size)
        if runner.batch_size > 4:
            raise torch.OutOfMemoryError("full")
        return "done"

    batches = PromptRunner(None, 8)
    assert [batches.within_memory(work), batches.within_memory(work)] == ["done", "done"]
    assert sizes == [8, 4, 4], "the second unit does not begin with the full batch again"
    assert capsys.readouterr().err.count("half the batch size batch_size=4") == 1
    with pytest.raises(torch.OutOfMemoryError):
        PromptRunner(None, 32).within_memory(work)
