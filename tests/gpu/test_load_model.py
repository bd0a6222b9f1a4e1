"""Loading models: what is refused, and with which words."""

# ruff: noqa: E402
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from small_world import write_tokenizer
from tiny_models import FAMILIES, tiny_model

from jobs.gpu.errors import ModelError
from jobs.gpu.load_model import (
    check_vocabulary,
    clear_quantization,
    load_model,
    new_model,
    pick_dtype,
    resolve_path,
    save_model,
)
from jobs.gpu.settings import Model
from pivot_udfs.errors import TokenizerError
from pivot_udfs.tokenizer_backends import load_tokenizer

pytestmark = pytest.mark.torch


def _settings(path: Path, **keys: object) -> Model:
    return Model.model_validate({"path": str(path), "device": "cpu", **keys})


def test_weights_survive_saving_and_loading(tmp_path: Path) -> None:
    model = tiny_model("olmo")
    save_model(model, tmp_path)
    assert list(tmp_path.glob("*.safetensors"))
    loaded = load_model(_settings(tmp_path))
    assert not loaded.training
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name])


def test_pickled_weights_only_when_asked(tmp_path: Path) -> None:
    model = tiny_model()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"model\.allow_pickle = true if you trust"):
        load_model(_settings(tmp_path))
    assert load_model(_settings(tmp_path, allow_pickle=True)) is not None


def test_missing_and_wrong_paths(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json in it"):
        load_model(_settings(tmp_path))
    with pytest.raises(ModelError, match="is not a folder"):
        load_model(_settings(tmp_path / "absent"))
    with pytest.raises(ModelError, match="package no_such_thing is not installed"):
        resolve_path("package:no_such_thing")
    (tmp_path / "config.json").write_text('{"model_type": "t5", "is_encoder_decoder": true}')
    with pytest.raises(ModelError, match="encoder-decoder"):
        load_model(_settings(tmp_path))


def test_remote_code_only_when_asked(tmp_path: Path) -> None:
    code = '{"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Model"}}'
    (tmp_path / "config.json").write_text(code)
    (tmp_path / "own.py").write_text("raise SystemExit('this code must not run')\n")
    with pytest.raises(ModelError, match=r"model\.trust_remote_code = true if you trust it"):
        load_model(_settings(tmp_path))


def test_an_absent_device_is_an_error() -> None:
    with pytest.raises(ModelError, match="is no device"):
        load_model(Model(path="x", device="abacus"))
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="torch sees no GPU"):
            load_model(Model(path="x", device="cuda"))


def test_auto_dtype_follows_the_device() -> None:
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16


def test_a_foreign_vocabulary_is_refused(tmp_path: Path) -> None:
    ours = load_tokenizer(str(write_tokenizer(tmp_path / "ours.json")))
    theirs = load_tokenizer(str(write_tokenizer(tmp_path / "theirs.json", extra="quite other words here")))
    model = tiny_model(vocabulary=400)
    save_model(model, tmp_path / "m", theirs)
    with pytest.raises(TokenizerError, match="ids mean other tokens"):
        check_vocabulary(_settings(tmp_path / "m"), model, ours)
    check_vocabulary(_settings(tmp_path / "m"), model, theirs)
    save_model(tiny_model(), tmp_path / "small")
    with pytest.raises(TokenizerError, match=r"96 token embeddings, tokenizer\.path has 400 ids"):
        check_vocabulary(_settings(tmp_path / "small"), tiny_model(), ours)


def test_a_padded_embedding_is_no_mismatch(tmp_path: Path) -> None:
    ours = load_tokenizer(str(write_tokenizer(tmp_path / "ours.json")))
    model = new_model(FAMILIES["llama"] | {"vocab_size": 512})
    save_model(model, tmp_path / "m", ours)
    check_vocabulary(_settings(tmp_path / "m"), model, ours)


def test_a_dequantized_model_can_be_saved(tmp_path: Path) -> None:
    model = tiny_model()
    model.is_quantized, model.hf_quantizer = True, object()
    model.config.quantization_config = {"quant_method": "gguf"}
    clear_quantization(model)
    save_model(model, tmp_path)
    assert "quantization" not in (tmp_path / "config.json").read_text()
