"""Prompt styles, and the answer position: what lies before the first informative token of the answers."""

# ruff: noqa: E402
import math
from collections import Counter
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from hypothesis import given
from hypothesis import strategies as st
from small_world import make_world, write_tokenizer
from tiny_models import tiny_model

from jobs.gpu import build_translation_task
from jobs.gpu.translation.prompt_runner import PromptRunner
from jobs.gpu.translation.prompt_styles import STYLES, PromptStyle, template_of
from jobs.gpu.translation.score_words import score_draw
from jobs.gpu.translation.translation_task import TaskWord, read_task
from jobs.gpu.translation.word_tokens import WordTokens, shared_lead, split_answer
from pivot_udfs.errors import LexiconError
from pivot_udfs.tokenization.backends import load_tokenizer

pytestmark = pytest.mark.torch
EXAMPLES = [("pain", "面包")]
ARROW = "{source_language} {source} -> {target_language} ({target})"
ENDS = {"plain": "French: eau\nChinese:", "quoted": 'French: "eau"\nChinese: "', ARROW: "French eau -> Chinese ("}
BLANKS = frozenset([0, 1])


@pytest.fixture(name="path", scope="module")
def _path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tokenizer(tmp_path_factory.mktemp("tokens") / "tokenizer.json"))


def test_the_plain_prompt_is_that_of_the_definition() -> None:
    style = PromptStyle()
    assert style.head("fr", "zh", EXAMPLES) + style.tail("fr", "zh", "eau") == (
        "Please translate words from French to Chinese.\n\nFrench: pain\nChinese: 面包\n\nFrench: eau\nChinese:"
    )


def test_an_unnamed_language_is_an_error() -> None:
    with pytest.raises(LexiconError, match="'qq' has no English name"):
        PromptStyle().tail("qq", "fr", "x")


@pytest.mark.parametrize("prompt", list(ENDS))
def test_a_prompt_ends_where_the_answer_of_an_example_begins(prompt: str, path: str) -> None:
    tokens = WordTokens(load_tokenizer(path), prompt=prompt)
    tail, pair = tokens.style.tail("fr", "zh", "eau"), tokens.style.pair("fr", "zh", "eau", "月亮")
    assert tail == ENDS[prompt]
    assert pair.startswith(tail)
    whole = pair[: pair.index("月亮") + len("月亮")]
    assert tokens.ids(tail) + list(tokens.answer("zh", "月亮")) == tokens.ids(whole)


@pytest.mark.parametrize("prompt", ["fancy", "{source} {target}", "{target_language}{target}{source_language}{source}"])
def test_a_template_without_the_four_fields_in_order_is_refused(
    prompt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="each once and in this order"):
        template_of(prompt)
    config = make_world(tmp_path, translation={"directions": ["fr-zh"], "prompt": prompt})
    assert build_translation_task.main(["--config", str(config)]) == 2
    assert "nor a template with {source_language}" in capsys.readouterr().err


def test_every_named_style_is_a_template() -> None:
    assert all(template_of(name) == template_of(template) for name, template in STYLES.items())


@pytest.mark.parametrize(
    ("answers", "lead"),
    [
        ([(0, 5), (0, 6), (0, 7)], (0,)),
        ([(0, 1, 5), (0, 1, 6), (0, 7)], (0, 1)),
        ([(0, 1, 5), (0, 6), (0, 7)], (0,)),  # a third is not most
        ([(5, 6), (5, 7), (5, 8)], ()),  # a token with a whole letter says something
        ([(0,), (0,), (0, 5)], ()),  # nothing would be left of two of the answers
        ([(0, 5), (6,)], ()),  # half is not most
        ([], ()),
    ],
)
def test_the_lead_is_what_most_answers_share_and_says_nothing(
    answers: list[tuple[int, ...]], lead: tuple[int, ...]
) -> None:
    assert shared_lead(answers, BLANKS) == lead


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5).map(tuple), min_size=1, max_size=12))
def test_an_answer_is_its_part_of_the_lead_and_at_least_one_token(answers: list[tuple[int, ...]]) -> None:
    lead = shared_lead(answers, BLANKS)
    assert set(lead) <= BLANKS
    starts = Counter(answer[: len(lead)] == lead for answer in answers)
    assert starts[True] * 2 > len(answers) or not lead
    for answer in answers:
        forced, own = split_answer(answer, lead)
        assert forced + own == answer
        assert own
        assert forced == lead[: len(forced)]


def test_wordless_tokens_are_blanks_punctuation_pieces_and_special_tokens(path: str) -> None:
    tokens = WordTokens(load_tokenizer(path))
    pieces = tokens.answer("zh", "水")
    assert {tokens.ids(text)[0] for text in (" ", ",", '"', "\n")} | set(pieces) | {0} <= tokens.wordless
    assert not set(tokens.ids("water")) & tokens.wordless
    assert not tokens.whole("zh", "水")
    assert tokens.whole("en", "water") == tokens.of("en", "water")


def test_a_pair_that_shares_only_pieces_of_characters_is_tested(tmp_path: Path) -> None:
    lexicon = [
        "en\tzh\tja",
        *(f"w{k}\t{a}\t{b}" for k, (a, b) in enumerate(zip("水火木金土日月", "氷炎林銀地星夜", strict=True))),
    ]
    config = make_world(tmp_path, lexicon={"languages": ["zh", "ja"]}, translation={"directions": ["zh-ja"]})
    (tmp_path / "lexicon.tsv").write_text("\n".join(lexicon) + "\n", encoding="utf-8")
    options = ["--set", "translation.n_draws=1", "--set", "translation.n_distractors=1"]
    assert build_translation_task.main(["--config", str(config), *options]) == 0
    task = read_task(tmp_path / "results" / "task.jsonl")
    assert task.left_out["zh-ja"] == dict.fromkeys(task.left_out["zh-ja"], 0)
    tokens = WordTokens(load_tokenizer(str(tmp_path / "tokenizer.json")))
    shared = [tokens.of("zh", word.source) & tokens.of("ja", word.target) for word in task.words]
    assert any(shared), "the tokenizer writes both in bytes, some of which are equal"
    assert task.leads["zh-ja"][0] == tokens.ids(" ")[0]


@pytest.mark.parametrize("reuse", [True, False])
def test_the_lead_belongs_to_the_prompt_of_a_score(reuse: bool, path: str) -> None:
    tokens, model = WordTokens(load_tokenizer(path)), tiny_model(vocabulary=400)
    words = [TaskWord("fr-zh", 0, "eau", "水", ("lune",)), TaskWord("fr-zh", 1, "lune", "月", ("eau",))]
    lead = tokens.answer("zh", "水")[:1]
    got, *_ = score_draw(PromptRunner(model, 4, reuse), words, EXAMPLES, tokens, lead)
    prompt = tokens.style.head("fr", "zh", EXAMPLES) + tokens.style.tail("fr", "zh", "eau")
    whole = tokens.ids(f"{prompt} 水")
    start = len(tokens.ids(prompt)) + 1
    with torch.no_grad():
        logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    found = [float(logits[place - 1, whole[place]]) for place in range(start, len(whole))]
    assert got[0] == pytest.approx(math.exp(sum(found) / len(found)), rel=2e-3)
