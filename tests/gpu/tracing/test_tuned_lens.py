"""The tuned lens: training, resuming, files of both kinds, and traces that use it."""

# ruff: noqa: E402
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from tiny_models import tiny_model
from training_world import make_traced_world, run_options

from jobs.gpu import trace_layers, train_tuned_lens
from jobs.gpu.common.files import read_provenance
from jobs.gpu.models.load_model import save_model
from jobs.gpu.models.output_head import captured_outputs, find_output_head
from jobs.gpu.packing.packed_file import open_packed
from jobs.gpu.tracing.ablation import Unembedding
from jobs.gpu.tracing.lens_files import OURS, THEIRS
from jobs.gpu.tracing.lenses import Lens, load_lens, save_lens
from jobs.gpu.tracing.train_lens import LensTrainer
from pivot_udfs.errors import ModelError

pytestmark = pytest.mark.torch
OPTIONS = ("tuned_lens.n_steps=150", "tuned_lens.sequence_length=16", "tuned_lens.learning_rate=0.02")


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = make_traced_world(tmp_path_factory.mktemp("world"))
    assert train_tuned_lens.main(run_options(config, *OPTIONS)) == 0
    return config


def _random_lens(n_layers: int = 3, size: int = 32) -> Lens:
    lens = Lens(n_layers, size)
    with torch.no_grad():
        for k, weight in enumerate(lens.parameters()):
            weight.copy_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(k)))
    return lens


def test_a_lens_records_the_tables_of_the_held_out_part(config: Path) -> None:
    results = config.parent / "results"
    made, packed = read_provenance(results / "tuned_lens"), open_packed(results / "packed" / "held_out").provenance
    assert made is not None
    assert made.tables == packed.tables != {}


def test_every_middle_layer_is_nearer_to_the_models_prediction(config: Path) -> None:
    rows = json.loads((config.parent / "results" / "tuned_lens" / "divergences.json").read_text())
    assert len(rows) == 2
    assert all(row["tuned"] < 0.7 * row["logit"] for row in rows)


def test_a_new_lens_is_the_logit_lens_and_the_last_layer_has_no_translator() -> None:
    hidden = torch.randn(4, 32)
    for layer in range(3):
        assert torch.equal(Lens(3, 32).translated(hidden, layer), hidden)
        assert torch.equal(Lens().translated(hidden, layer), hidden)
    assert torch.equal(_random_lens().translated(hidden, 2), hidden)
    assert not torch.allclose(_random_lens().translated(hidden, 1), hidden)
    assert _random_lens().translated(hidden.bfloat16(), 1).dtype == torch.bfloat16


def test_a_saved_lens_is_loaded_as_it_was(tmp_path: Path) -> None:
    lens = _random_lens()
    save_lens(lens, tmp_path)
    loaded = load_lens(tmp_path, 3, 32, allow_pickle=False)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in lens.state_dict().items())


@pytest.mark.parametrize("with_bias", [True, False])
def test_a_lens_of_the_package_tuned_lens_reads_the_inputs_of_layers(with_bias: bool, tmp_path: Path) -> None:
    theirs = torch.nn.ModuleList([torch.nn.Linear(32, 32, bias=with_bias) for _ in range(3)])
    torch.save(theirs.state_dict(), tmp_path / THEIRS)
    config = {"base_model_name_or_path": "x", "d_model": 32, "num_hidden_layers": 3, "bias": with_bias}
    (tmp_path / "config.json").write_text(json.dumps(config | {"lens_type": "linear_tuned_lens"}))
    with pytest.raises(ModelError, match="is a pickle"):
        load_lens(tmp_path, 3, 32, allow_pickle=False)
    lens, hidden = load_lens(tmp_path, 3, 32, allow_pickle=True), torch.randn(4, 32)
    for layer in range(2):  # the output of a layer is the input of the next
        torch.testing.assert_close(lens.translated(hidden, layer), hidden + theirs[layer + 1](hidden))


def test_a_lens_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no tuned lens"):
        load_lens(tmp_path, 3, 32, allow_pickle=False)
    save_lens(_random_lens(), tmp_path)
    with pytest.raises(ModelError, match=r"\(3, 32, 'linear_tuned_lens'\), not \(4, 32"):
        load_lens(tmp_path, 4, 32, allow_pickle=False)
    (tmp_path / OURS).write_bytes((tmp_path / OURS).read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged or incomplete"):
        load_lens(tmp_path, 3, 32, allow_pickle=False)


@torch.no_grad()
def test_directions_are_what_the_tuned_lens_reads() -> None:
    model, lens = tiny_model(), _random_lens()
    head = find_output_head(model)
    with captured_outputs(head.layers) as outputs:
        model(torch.tensor([[4, 9, 20, 7]]))
        hidden = outputs[1][0, -1]
    shift = lens.translated(torch.zeros_like(hidden), 1)
    linear = lens.translated(hidden, 1) - shift
    read = model.lm_head(linear * model.model.norm.weight)  # up to the norm's scale
    found = lens.pulled_back(Unembedding(head).directions(range(len(read))), 1) @ hidden
    torch.testing.assert_close(found, read - read.mean(), atol=1e-3, rtol=1e-3)


def test_an_interrupted_training_ends_with_the_same_lens(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = config.parent / "interrupted"
    results.mkdir()
    (results / "packed").symlink_to(config.parent / "results" / "packed")
    monkeypatch.setattr(train_tuned_lens, "_SAVE_SECONDS", 0.0)
    save, calls = LensTrainer.save, []

    def stop(self: LensTrainer, path: Path) -> None:
        save(self, path)
        calls.append(self.step)
        if len(calls) == 70:
            raise KeyboardInterrupt

    monkeypatch.setattr(LensTrainer, "save", stop)
    assert train_tuned_lens.main(run_options(config, f"results.path={results}", *OPTIONS)) == 130
    assert not (results / "tuned_lens").exists()
    assert train_tuned_lens.main(run_options(config, f"results.path={results}", *OPTIONS)) == 0
    assert calls[70] == 70, "the state of the last complete save, of step 69, was resumed"
    whole = config.parent / "results" / "tuned_lens" / OURS
    assert (results / "tuned_lens" / OURS).read_bytes() == whole.read_bytes()
    assert [path.name for path in results.iterdir() if "partial" in path.name] == []


def test_a_trained_lens_is_not_trained_again_and_a_foreign_folder_is_not_replaced(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_tuned_lens.main(run_options(config, *OPTIONS)) == 0
    assert "this lens is trained already" in capsys.readouterr().err
    (tmp_path / THEIRS).write_bytes(b"a lens of someone")
    assert train_tuned_lens.main(run_options(config, f"tuned_lens.path={tmp_path}", *OPTIONS)) == 2
    assert "was not written by this job and would be replaced" in capsys.readouterr().err
    assert (tmp_path / THEIRS).read_bytes() == b"a lens of someone"


def test_a_held_out_part_that_is_too_short_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_tuned_lens.main(run_options(config, "tuned_lens.sequence_length=99999")) == 2
    assert "raise packing.held_out_tokens" in capsys.readouterr().err


def test_traces_use_the_lens_and_keep_the_models_own_answer(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(config.parent / "results" / "traces", ignore_errors=True)
    base = ("translation.directions=['en-fr']",)
    assert trace_layers.main(run_options(config, *base)) == 0
    logit = pq.read_table(config.parent / "results" / "traces").to_pylist()
    assert trace_layers.main(run_options(config, *base, "trace.lens=tuned")) == 2
    assert "settings trace.lens = logit, now tuned" in capsys.readouterr().err
    shutil.rmtree(config.parent / "results" / "traces")
    assert trace_layers.main(run_options(config, *base, "trace.lens=tuned")) == 0
    tuned = pq.read_table(config.parent / "results" / "traces").to_pylist()
    for a, b in zip(logit, tuned, strict=True):
        assert a["top_ids"][-1] == b["top_ids"][-1]
        assert a["p_target"][-1] == b["p_target"][-1]
        assert a["top_probabilities"][0] != b["top_probabilities"][0]


def test_the_lens_of_another_model_is_refused(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(tiny_model("smollm", seed=1, vocabulary=400), config.parent / "other")
    options = ("trace.lens=tuned", f"model.path={config.parent / 'other'}", f"results.path={config.parent / 'r2'}")
    lens = f"tuned_lens.path={config.parent / 'results' / 'tuned_lens'}"
    assert trace_layers.main(run_options(config, *options, lens)) == 2
    assert "was trained for another model: delete it and run" in capsys.readouterr().err
