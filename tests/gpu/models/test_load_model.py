"""Loading models: what is refused, what is only warned of."""

# ruff: noqa: E402
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

import huggingface_hub
from safetensors.torch import load_file, save_file
from small_world import write_tokenizer
from tiny_models import tiny_model

from jobs.gpu.common.settings import Model
from jobs.gpu.models import load_model as load_model_module
from jobs.gpu.models.load_model import clear_quantization, load_model, pick_device, pick_dtype, save_model
from jobs.gpu.models.model_files import model_hashes, model_settings, resolve_path
from jobs.gpu.models.vocabulary_check import check_vocabulary
from pivot_udfs.errors import ModelError, TokenizerError
from pivot_udfs.tokenization.backends import load_tokenizer

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


def test_missing_and_wrong_paths_are_errors(tmp_path: Path) -> None:
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
    with pytest.raises(ModelError, match="is not a device"):
        load_model(Model(path="x", device="abacus"))
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="torch sees no GPU"):
            load_model(Model(path="x", device="cuda"))


def test_auto_dtype_follows_the_device() -> None:
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16


def test_a_dequantized_model_can_be_saved(tmp_path: Path) -> None:
    model = tiny_model()
    model.is_quantized, model.hf_quantizer = True, object()
    model.config.quantization_config = {"quant_method": "gguf"}
    clear_quantization(model)
    save_model(model, tmp_path)
    assert "quantization" not in (tmp_path / "config.json").read_text()


def _changed_weights(folder: Path, change: Any) -> Path:
    save_model(tiny_model("smollm"), folder)
    weights = {name: weight.clone() for name, weight in load_file(folder / "model.safetensors").items()}
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    folder = _changed_weights(tmp_path / "a", lambda w: [w.pop(name) for name in list(w) if "layers.1" in name])
    with pytest.raises(ModelError, match=r"9 weights are missing \(model\.layers\.1.*complete folder of one saved"):
        load_model(_settings(folder))


def test_weights_of_another_family_are_refused(tmp_path: Path) -> None:
    save_model(tiny_model("smollm"), tmp_path)
    save_model(tiny_model("gpt_neox"), tmp_path / "neox")
    shutil.copy(tmp_path / "neox" / "model.safetensors", tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"weights are missing .*tensors are not part of the model \(embed_out"):
        load_model(_settings(tmp_path))


UNUSED = {
    "gpt2": ["transformer.h.0.attn.bias", "transformer.h.2.attn.masked_bias", "v_head.summary.weight"],
    "gpt_neox": ["gpt_neox.layers.0.attention.masked_bias", "gpt_neox.layers.1.attention.rotary_emb.inv_freq"],
    "llama": ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.3.mlp.up_proj.weight"],
    "smollm": ["model.rotary_emb.inv_freq", "score.weight"],
    "qwen2": ["model.layers.1.self_attn.rotary_emb.inv_freq", "extra"],
    "gemma2": ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.position_ids"],
}


@pytest.mark.parametrize("family", UNUSED)
def test_unused_tensors_are_named_and_change_nothing(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, ids = tiny_model(family), torch.arange(12)[None]
    save_model(model, tmp_path)
    path = tmp_path / "model.safetensors"
    extra = {name: torch.full((4,), 7.0) for name in UNUSED[family]}
    save_file(load_file(path) | extra, path, metadata={"format": "pt"})
    loaded = load_model(_settings(tmp_path))
    error = capsys.readouterr().err
    assert f"WARNING: {tmp_path} holds {len(extra)} tensors that the model does not use: " in error
    assert all(name in error for name in extra)
    assert torch.equal(loaded(ids).logits, model(ids).logits)


def test_a_stored_output_head_of_a_tied_model_changes_nothing(tmp_path: Path) -> None:
    model, ids = tiny_model("smollm"), torch.arange(12)[None]
    save_model(model, tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    assert "lm_head.weight" not in weights
    head = weights["model.embed_tokens.weight"].clone()
    save_file(weights | {"lm_head.weight": head}, path, metadata={"format": "pt"})
    assert torch.equal(load_model(_settings(tmp_path))(ids).logits, model(ids).logits)


def test_weights_of_another_shape_or_cut_short_are_refused(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    with pytest.raises(
        ModelError, match=r"9 weights have another shape \(.*\[32, 48\] in the file, expected \[32, 64\]"
    ):
        load_model(_settings(tmp_path))
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"cut short or damaged .*copy the model again"):
        load_model(_settings(tmp_path))


def _index(folder: Path) -> Path:
    tiny_model().save_pretrained(folder, max_shard_size="20KB")
    return folder / "model.safetensors.index.json"


def test_shards_that_have_a_weight_twice_or_not_at_all_are_refused(tmp_path: Path) -> None:
    first, *_, last = sorted(set(json.loads(_index(tmp_path).read_text())["weight_map"].values()))
    assert load_model(_settings(tmp_path)) is not None
    shutil.copytree(tmp_path, tmp_path / "both")
    shutil.copy(tmp_path / first, tmp_path / "both" / "model.safetensors")
    with pytest.raises(ModelError, match=r"has both model\.safetensors and model\.safetensors\.index\.json"):
        load_model(_settings(tmp_path / "both"))
    weights = load_file(tmp_path / last) | {name: 2 * weight for name, weight in load_file(tmp_path / first).items()}
    save_file(weights, tmp_path / last, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weights are in two files \(model\..*copy the model again"):
        load_model(_settings(tmp_path))
    (tmp_path / first).unlink()
    with pytest.raises(ModelError, match=f"No such file or directory: .*{first}; check"):
        load_model(_settings(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    folder = _changed_weights(tmp_path / "a", lambda weights: weights["model.norm.weight"][3:4].fill_(value))
    with pytest.raises(ModelError, match=r"1 weights have values that are no numbers \(model\.norm\.weight\)"):
        load_model(_settings(folder))


def test_weights_stored_as_integers_are_refused(tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    folder = _changed_weights(tmp_path / "a", lambda weights: weights.update({name: weights[name].to(torch.int8)}))
    with pytest.raises(ModelError, match=r"1 weights are stored as integers \(model\.layers\.1.*quantization_config"):
        load_model(_settings(folder))
    save_model(tiny_model("gpt2"), tmp_path / "b")
    path, mask = tmp_path / "b" / "model.safetensors", {"transformer.h.0.attn.bias": torch.ones(4, dtype=torch.uint8)}
    save_file(load_file(path) | mask, path, metadata={"format": "pt"})
    assert load_model(_settings(tmp_path / "b")) is not None, "a mask that earlier versions stored, and is not read"


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden_size", "32"), ("num_attention_heads", 0), ("head_dim", 0), ("model_type", ["llama"]), ("hidden_act", 1)],
)
def test_a_wrong_value_in_the_configuration_is_one_line(tmp_path: Path, key: str, value: object) -> None:
    save_model(tiny_model(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(ModelError, match=r"cannot be loaded as a causal .*check its config\.json") as found:
        load_model(_settings(tmp_path))
    assert "\n" not in str(found.value)
    assert (key in str(found.value)) == (key in ("hidden_size", "hidden_act")), "what the library says of it is kept"


@pytest.mark.parametrize(
    ("family", "key", "value", "message"),
    [
        ("llama", "num_hidden_layers", 0, "the model has no layers"),
        ("gpt2", "n_layer", -1, "the model has no layers"),
        ("gpt2", "n_head", -4, r"the model's first pass fails \(.+\)"),
        ("llama", "rms_norm_eps", -5.0, "the model's first logits are no numbers"),
    ],
)
def test_a_size_with_which_nothing_can_be_computed_is_one_line(
    tmp_path: Path, family: str, key: str, value: object, message: str
) -> None:
    save_model(tiny_model(family), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(ModelError, match=rf"{message}; check its config\.json and model\.dtype$"):
        load_model(_settings(tmp_path))


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json"])
def test_a_damaged_vocabulary_of_a_model_is_named(tmp_path: Path, name: str) -> None:
    model, ours = tiny_model(vocabulary=400), load_tokenizer(str(write_tokenizer(tmp_path / "ours.json")))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text('{"version": 1')
    with pytest.raises(ModelError, match=f"{name}.*copy the model again"):
        check_vocabulary(_settings(tmp_path), model, ours)


@pytest.mark.parametrize("content", [b"", b'{"model_type"', b"\xff\xfe", b"[]"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_damaged_json_of_a_model_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    _index(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} (is not|holds a) JSON.*copy the model again"):
        load_model(_settings(tmp_path))


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _hub(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    """A cache that holds one model of the hub, and no network; gives the snapshot's folder."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    place = cache / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    (place / "snapshots" / COMMIT).mkdir(parents=True)
    return place / "snapshots" / COMMIT


def test_a_model_of_the_hub_is_checked_and_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = load_tokenizer(str(write_tokenizer(tmp_path / "ours.json")))
    theirs = load_tokenizer(str(write_tokenizer(tmp_path / "theirs.json", extra="quite other words here")))
    settings = Model(path="someone/some-model", device="cpu")
    with monkeypatch.context() as patch:
        save_model(tiny_model(vocabulary=400), _hub(tmp_path / "cache", patch, settings.path), theirs)
        model = load_model(settings)
        assert model_settings(settings)["model.commit"] == COMMIT
        with pytest.raises(TokenizerError, match="ids of someone/some-model have other tokens"):
            check_vocabulary(settings, model, ours)
        check_vocabulary(settings, model, theirs)
        with pytest.raises(ModelError, match="'someone/absent' is neither a folder nor found on the hub"):
            load_model(Model(path="someone/absent", device="cpu"))


def test_trust_vocabulary_does_not_change_the_provenance(tmp_path: Path) -> None:
    save_model(tiny_model(), tmp_path)
    one, two = (_settings(tmp_path, trust_vocabulary=value) for value in (True, False))
    assert model_settings(one) == model_settings(two)
    assert list(model_hashes(one)) == ["model/model.safetensors"]


def test_a_gpu_that_torch_cannot_use_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "nvidia0"
    monkeypatch.setattr(load_model_module, "_GPU", device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    assert pick_device("auto").type == "cpu"
    device.touch()
    with pytest.raises(ModelError, match=r"cannot use it .*set model.device = 'cpu'"):
        pick_device("auto")
    assert pick_device("cpu").type == "cpu"
