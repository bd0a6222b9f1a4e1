"""The translation task: which pairs, which distractors, which examples; and its file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from small_world import LEXICON, write_lexicon, write_tokenizer

from jobs.gpu.common.settings import Translation
from jobs.gpu.translation.draw_task import draw_task
from jobs.gpu.translation.lexicon_concepts import Concept, read_concepts
from jobs.gpu.translation.translation_task import Task, read_task, task_sha256, write_task
from jobs.gpu.translation.word_tokens import WordTokens
from pivot_udfs.errors import TaskError, TokenizerError
from pivot_udfs.provenance import Provenance
from pivot_udfs.tokenization.backends import load_tokenizer

pytestmark = pytest.mark.torch
SETTINGS = Translation(n_draws=2, n_examples=2, n_distractors=3, n_neighbours=6)
DIRECTIONS = [("fr", "zh"), ("fr", "en"), ("en", "fr")]


@pytest.fixture(name="concepts", scope="module")
def _concepts(tmp_path_factory: pytest.TempPathFactory) -> list[Concept]:
    path = write_lexicon(tmp_path_factory.mktemp("lexicon") / "lexicon.tsv")
    return read_concepts(str(path), ["en", "fr", "zh"])[0]


def _build(concepts: list[Concept], tokens: WordTokens, settings: Translation = SETTINGS) -> Task:
    return draw_task(concepts, DIRECTIONS, tokens, settings, Provenance("task", 1, files={"tokenizer": "t"}))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_lexicon_from_a_spreadsheet_is_read_with_its_columns(encoding: str, tmp_path: Path) -> None:
    text = 'En\tfr\tpos\tZipf_en\r\n"ice ""cream"""\t"glace"\t noun \t4,5\r\n\r\nwater\teau\tnoun\t5\r\n'
    (tmp_path / "lexicon.tsv").write_bytes(text.encode(encoding))
    concepts, _ = read_concepts(str(tmp_path / "lexicon.tsv"), ["en", "fr"])
    assert concepts == [
        Concept(0, {"en": 'ice "cream"', "fr": "glace"}, "noun", 4.5),
        Concept(1, {"en": "water", "fr": "eau"}, "noun", 5.0),
    ]


def test_every_pair_is_tested_or_counted_as_left_out(concepts: list[Concept], tokens: WordTokens) -> None:
    task = _build(concepts, tokens)
    for direction in ("fr-zh", "fr-en", "en-fr"):
        left_out = sum(task.left_out[direction].values())
        assert len(task.of_direction(direction)) + left_out == len(LEXICON) - 4


def test_same_surface_and_shared_tokens_are_left_out(concepts: list[Concept], tokens: WordTokens) -> None:
    task = _build(concepts, tokens)
    assert task.left_out["fr-en"]["same surface"] == 1
    assert "train" not in {word.source for word in task.of_direction("fr-en")}
    for word in task.words:
        source, target = word.direction.split("-")
        assert not tokens.whole(source, word.source) & tokens.whole(target, word.target)


def test_a_space_token_is_not_a_shared_token(tokens: WordTokens) -> None:
    first, second = tokens.answer("zh", "水"), tokens.answer("fr", "œil")
    assert tokens.ids(" ")[0] not in tokens.of("zh", "水")
    assert len(first) >= 2
    assert len(second) >= 2


def test_distractors_have_the_part_of_speech_and_another_meaning(concepts: list[Concept], tokens: WordTokens) -> None:
    task = _build(concepts, tokens)
    by_word = {(lang, word): c for c in concepts for lang, word in c.words.items()}
    examples = {word for draws in task.examples.values() for draw in draws for pair in draw for word in pair}
    for word in task.words:
        source, target = word.direction.split("-")
        assert len(set(word.distractors)) == 3
        assert word.source not in word.distractors
        for other in word.distractors:
            assert other not in examples
            assert by_word[source, other].words[target] != word.target
            assert by_word[source, other].part_of_speech == concepts[word.concept].part_of_speech


def test_synonyms_never_distract(tokens: WordTokens) -> None:
    """a1 and a2 share a translation, so a2 may not distract a1, nor may another word for that translation."""
    rows = [("a1", "x"), ("a2", "x"), ("a2", "y"), ("a3", "y")] + [(f"w{k}", f"v{k}") for k in range(12)]
    concepts = [Concept(k, {"en": a, "fr": b}, "", 0.0) for k, (a, b) in enumerate(rows)]
    settings = replace_settings(n_distractors=4, n_neighbours=40, seed=5)
    task = draw_task(concepts, [("en", "fr")], _AllDifferent(), settings, {})
    for word in task.words:
        if word.source == "a1":
            assert not {"a1", "a2"} & set(word.distractors)
        if word.source == "a2":
            assert not {"a1", "a2", "a3"} & set(word.distractors)


def replace_settings(**keys: int) -> Translation:
    return SETTINGS.model_copy(update=keys)


class _AllDifferent(WordTokens):
    def __init__(self) -> None:
        """Words share no token."""

    wordless = frozenset()

    def whole(self, language: str, word: str) -> frozenset[int]:
        return frozenset([hash((language, word))])

    def answer(self, language: str, word: str) -> tuple[int, ...]:
        return tuple(self.whole(language, word))


def test_same_seed_same_task_other_seed_other_task(concepts: list[Concept], tokens: WordTokens) -> None:
    assert _build(concepts, tokens) == _build(concepts, tokens)
    other = _build(concepts, tokens, replace_settings(seed=1))
    assert other.examples != _build(concepts, tokens).examples


def test_a_task_file_is_read_as_it_was_written(concepts: list[Concept], tokens: WordTokens, tmp_path: Path) -> None:
    task = _build(concepts, tokens)
    write_task(task, tmp_path / "task.jsonl")
    assert read_task(tmp_path / "task.jsonl", task.provenance) == task
    assert "水" in (tmp_path / "task.jsonl").read_text(encoding="utf-8")


def test_task_of_another_tokenizer_is_refused(concepts: list[Concept], tokens: WordTokens, tmp_path: Path) -> None:
    write_task(_build(concepts, tokens), tmp_path / "task.jsonl")
    with pytest.raises(
        TaskError, match=r"another tokenizer: .* changed \(SHA-256 t, now u\): run jobs.gpu.build_.*again"
    ):
        read_task(tmp_path / "task.jsonl", Provenance("task", 1, files={"tokenizer": "u"}))
    (tmp_path / "broken.jsonl").write_text('{"kind": "other"}\n')
    with pytest.raises(TaskError, match="is not a task file"):
        read_task(tmp_path / "broken.jsonl")
    with pytest.raises(TaskError, match=r"run jobs.gpu.build_translation_task first"):
        read_task(tmp_path / "missing.jsonl")


def test_the_hash_of_a_task_is_that_of_its_examples_and_words(
    concepts: list[Concept], tokens: WordTokens, tmp_path: Path
) -> None:
    task = _build(concepts, tokens)
    other = replace(task, provenance=Provenance("task", 1, files={"tokenizer": "u"}))
    fewer = replace(task, words=task.words[1:])
    hashes = []
    for one in (task, other, fewer):
        write_task(one, tmp_path / "task.jsonl")
        hashes.append(task_sha256(tmp_path / "task.jsonl"))
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_task_without_provenance_is_refused(tmp_path: Path) -> None:
    header = {"kind": "translation task", "left_out": {}, "tokenizer_sha256": "t", "n_draws": 2}
    (tmp_path / "task.jsonl").write_text(json.dumps(header) + "\n")
    with pytest.raises(TaskError, match=r"has no provenance: run jobs.gpu.build_translation_task"):
        read_task(tmp_path / "task.jsonl")


def test_a_task_can_be_restricted_to_one_direction(concepts: list[Concept], tokens: WordTokens) -> None:
    task = _build(concepts, tokens)
    one = task.only(["fr-en"])
    assert list(one.examples) == list(one.left_out) == ["fr-en"]
    assert one.words == task.of_direction("fr-en")


def test_an_empty_direction_is_an_error(concepts: list[Concept], tokens: WordTokens) -> None:
    same = [replace(c, words=c.words | {"fr": c.words["en"]}) if c.number > 3 else c for c in concepts]
    with pytest.raises(TaskError, match="direction fr-en has no testable pair"):
        draw_task(same, [("fr", "en")], tokens, SETTINGS, Provenance("task", 1))


def test_too_few_concepts_for_examples(concepts: list[Concept], tokens: WordTokens) -> None:
    with pytest.raises(TaskError, match="9 draws of 9 examples need 81 concepts"):
        _build(concepts, tokens, replace_settings(n_draws=9, n_examples=9))


def test_answers_follow_the_prompt_token_by_token(tokens: WordTokens) -> None:
    prompt = tokens.style.head("fr", "zh", [("pain", "面包")]) + tokens.style.tail("fr", "zh", "eau")
    assert tokens.ids(prompt + " 月亮") == tokens.ids(prompt) + list(tokens.answer("zh", "月亮"))


def test_words_without_tokens_of_their_own_are_found(tokens: WordTokens) -> None:
    concepts = [Concept(0, {"en": "water", "fr": " "}, "", 0.0)]
    assert tokens.unencodable(concepts, ["en", "fr"]) == [("fr", " ")]


def test_an_unknown_start_token_is_an_error(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(write_tokenizer(tmp_path / "tokenizer.json")))
    assert WordTokens(tokenizer, "<|endoftext|>").prompts(["a"])[0][0] == 0
    with pytest.raises(TokenizerError, match=r"it has <\|endoftext\|>"):
        WordTokens(tokenizer, "<s>")
