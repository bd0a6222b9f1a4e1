"""The vocabulary check: models whose ids have other tokens are refused; start tokens."""

# ruff: noqa: E402
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

import sentencepiece
import tokenizers
from small_world import write_tokenizer
from tiny_models import FAMILIES, new_model, tiny_model

from jobs.gpu.common.settings import Model
from jobs.gpu.models.load_model import save_model
from jobs.gpu.models.model_files import start_token
from jobs.gpu.models.vocabulary_check import check_vocabulary, tokenizer_tokens
from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenization.backends import load_tokenizer

pytestmark = pytest.mark.torch


def _settings(path: Path, **keys: object) -> Model:
    return Model.model_validate({"path": str(path), "device": "cpu", **keys})


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    ours = load_tokenizer(str(write_tokenizer(tmp_path / "ours.json")))
    theirs = load_tokenizer(str(write_tokenizer(tmp_path / "theirs.json", extra="quite other words here")))
    model = tiny_model(vocabulary=400)
    save_model(model, tmp_path / "m", theirs)
    with pytest.raises(TokenizerError, match="have other tokens than in"):
        check_vocabulary(_settings(tmp_path / "m"), model, ours)
    check_vocabulary(_settings(tmp_path / "m"), model, theirs)
    save_model(tiny_model(), tmp_path / "small")
    with pytest.raises(TokenizerError, match=r"96 token embeddings, tokenizer\.path has 400 ids"):
        check_vocabulary(_settings(tmp_path / "small"), tiny_model(), ours)


def test_padded_embeddings_are_accepted(tmp_path: Path) -> None:
    ours = load_tokenizer(str(write_tokenizer(tmp_path / "ours.json")))
    model = new_model(FAMILIES["llama"] | {"vocab_size": 512})
    save_model(model, tmp_path / "m", ours)
    check_vocabulary(_settings(tmp_path / "m"), model, ours)


def test_a_vocabulary_that_cannot_be_compared_needs_trust_vocabulary(tmp_path: Path) -> None:
    ours = load_tokenizer(str(write_tokenizer(tmp_path / "ours.json")))
    model = tiny_model(vocabulary=400)
    save_model(model, tmp_path / "m")
    with pytest.raises(TokenizerError, match=r"cannot be compared .*model\.trust_vocabulary = true"):
        check_vocabulary(_settings(tmp_path / "m"), model, ours)
    check_vocabulary(_settings(tmp_path / "m", trust_vocabulary=True), model, ours)
    vocabulary = json.loads((tmp_path / "ours.json").read_text())["model"]["vocab"]
    (tmp_path / "m" / "vocab.json").write_text(json.dumps(vocabulary))
    check_vocabulary(_settings(tmp_path / "m"), model, ours)
    (tmp_path / "m" / "vocab.json").write_text(json.dumps({token: 399 - k for token, k in vocabulary.items()}))
    with pytest.raises(TokenizerError, match=r"400 ids of .* have other tokens"):
        check_vocabulary(_settings(tmp_path / "m", trust_vocabulary=True), model, ours)


def test_pieces_of_a_sentencepiece_model_are_compared(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Please translate words from French to Chinese eau maison livre\n" * 50)
    for name, size in (("one", 60), ("other", 50)):
        options = {"input": str(text), "vocab_size": size, "model_type": "bpe", "minloglevel": 2}
        sentencepiece.SentencePieceTrainer.train(model_prefix=str(tmp_path / name), **options)
    one, other = (load_tokenizer(str(tmp_path / f"{name}.model")) for name in ("one", "other"))
    save_model(tiny_model(), tmp_path / "m", one)
    check_vocabulary(_settings(tmp_path / "m"), tiny_model(), one)
    with pytest.raises(TokenizerError, match="have other tokens than in"):
        check_vocabulary(_settings(tmp_path / "m"), tiny_model(), other)
    save_model(tiny_model(), tmp_path / "spaces")
    plain = {token.replace("▁", " "): index for index, token in enumerate(tokenizer_tokens(one))}
    (tmp_path / "spaces" / "vocab.json").write_text(json.dumps(plain))
    check_vocabulary(_settings(tmp_path / "spaces"), tiny_model(), one)


def test_the_start_token_is_what_the_models_own_tokenizer_adds(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path / "tables.json")
    save_model(tiny_model(vocabulary=400), tmp_path / "m", load_tokenizer(str(path)))
    settings = _settings(tmp_path / "m")
    assert start_token(settings, str(path)) == ""
    added = {"add_bos_token": True, "bos_token": {"content": "<|endoftext|>"}}
    (tmp_path / "m" / "tokenizer_config.json").write_text(json.dumps(added))
    assert start_token(settings, str(path)) == "<|endoftext|>"
    (tmp_path / "m" / "tokenizer_config.json").write_text(json.dumps(added | {"add_bos_token": False}))
    own = tokenizers.Tokenizer.from_file(str(path))
    own.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    own.save(str(path))
    assert start_token(settings, str(path)) == "<|endoftext|>", "a saved model's own file says nothing of it"
