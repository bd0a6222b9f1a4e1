"""Sweeps over revisions: the table, the curve, resuming, and the report."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from tiny_models import tiny_model
from training_world import make_traced_world, run_options, run_training

from jobs.gpu import sweep_revisions, trace_layers, write_model_report
from jobs.gpu.analysis.revision_curve import SCHEMA, revision_curve, step_of
from jobs.gpu.models.load_model import save_model
from jobs.gpu.translation import task_model

pytestmark = pytest.mark.torch


CHECKPOINTS = ("training.keep_checkpoints=9", "training.delete_checkpoints=false", "training.evaluate_every_steps=0")


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world with a training run of six steps whose checkpoints of steps 2, 4 and 6 are kept."""
    config = make_traced_world(tmp_path_factory.mktemp("world"))
    assert run_training(config, *CHECKPOINTS) == 0
    return config


def _options(config: Path, *extra: str) -> list[str]:
    run = config.parent / "results" / "runs" / "pivot-seed0"
    revisions = [
        str(config.parent / "model"),
        *(str(run / "checkpoints" / f"step-{k:08d}") for k in (2, 4)),
        str(run / "final"),
    ]
    return run_options(config, f"sweep.revisions={json.dumps(revisions)}", "translation.directions=['en-fr']", *extra)


def test_a_sweep_traces_checkpoints_and_models_on_one_task(config: Path) -> None:
    results = config.parent / "results"
    assert sweep_revisions.main(_options(config)) == 0
    table = pq.read_table(results / "sweep.parquet")
    steps = list(dict.fromkeys(zip(table["revision"].to_pylist(), table["step"].to_pylist(), strict=True)))
    assert [step for _, step in steps] == [None, 2, 4, None]
    assert trace_layers.main(run_options(config, "translation.directions=['en-fr']")) == 0
    base = pq.read_table(results / "traces").to_pylist()
    rows = table.to_pylist()
    for row, trace in zip(rows, base, strict=False):  # the first revision is the base model itself
        assert row["concept"] == trace["concept"]
        assert row["log_probability"] == pytest.approx(trace["log_probability"], abs=1e-5)
        layer = trace["pivot_layer"]
        expected = None if layer is None else trace[f"p_{trace['pivot_language']}"][layer]
        assert row["p_pivot"] == (None if expected is None else pytest.approx(expected, abs=1e-6))
    assert len(rows) == 4 * len(base)
    n = len(base)
    answers = [[row["log_probability"] for row in rows[k : k + n]] for k in range(0, 4 * n, n)]
    assert len({tuple(of_one) for of_one in answers}) == 4, "training changed the model"
    curve = json.loads((results / "sweep.json").read_text())["revisions"]
    assert [row["step"] for row in curve] == [None, 2, 4, None]
    assert curve[1]["n_words"] == len(base)


def test_an_interrupted_sweep_reads_no_model_again(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sweep_revisions.main(_options(config)) == 0
    before = pq.read_table(config.parent / "results" / "sweep.parquet")
    (lost,) = (config.parent / "results" / "sweep").glob("*step-00000004/traces/en-fr.parquet")
    lost.unlink()
    loaded, load = [], task_model.load_task_model
    monkeypatch.setattr(
        task_model, "load_task_model", lambda settings, *rest: loaded.append(settings) or load(settings, *rest)
    )
    assert sweep_revisions.main(_options(config)) == 0
    assert [Path(settings.model.path).parent.name for settings in loaded] == ["step-00000004"]
    assert pq.read_table(config.parent / "results" / "sweep.parquet").equals(before)


def test_the_report_draws_the_sweep(config: Path) -> None:
    assert sweep_revisions.main(_options(config)) == 0
    page = config.parent / "page.html"
    assert write_model_report.main(run_options(config, f"model_report.path={page}")) == 0
    text = page.read_text(encoding="utf-8")
    assert '<section id="revisions">' in text
    assert "share labelled pivot" in text


def test_a_changed_checkpoint_is_not_mixed_with_its_older_traces(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, model = tmp_path / "r", tmp_path / "step-7"
    options = (f"results.path={results}", f"sweep.revisions=['{model}']", "translation.directions=['en-fr']")
    save_model(tiny_model(vocabulary=400), model)
    assert sweep_revisions.main(run_options(config, *options)) == 0
    save_model(tiny_model(seed=1, vocabulary=400), model)
    assert sweep_revisions.main(run_options(config, *options)) == 2
    assert "holds results made from another model/model.safetensors: " in capsys.readouterr().err


def test_a_folder_that_is_missing_is_no_revision_of_a_local_model(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_revisions.main(run_options(config, "sweep.revisions=['out/step-9']")) == 2
    assert "out/step-9 is no folder, and model.path = " in capsys.readouterr().err


def test_a_sweep_without_revisions_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep_revisions.main(run_options(config)) == 2
    assert "sweep.revisions is empty: list revisions" in capsys.readouterr().err


def test_the_step_is_read_from_the_name() -> None:
    names = ["step1000-tokens4B", "runs/x/step-00000020", "stage1-step140000-tokens294B", "main", "out/step-5/model"]
    assert [step_of(name) for name in names] == [1000, 20, 140000, None, 5]


def test_the_curve_is_of_all_directions_and_resamples_concepts() -> None:
    empty = dict.fromkeys(SCHEMA.names)
    rows = [
        empty
        | {"revision": revision, "direction": direction, "concept": concept, "log_probability": -float(concept)}
        | {"latent_behaviour": label, "control_behaviour": "direct"}
        for revision, labels in {"step1": ["direct"] * 2, "step2": ["pivot", "undecided"]}.items()
        for concept in range(10)
        for direction, label in (("fr-zh", labels[concept % 2]), ("zh-fr", labels[concept % 2]))
    ]
    one, two = revision_curve(pa.Table.from_pylist(rows, schema=SCHEMA), 200, 0)
    assert (one["pivot"]["mean"], two["pivot"]["mean"], two["control"]["mean"]) == (0.0, 0.5, 0.0)
    assert (two["pivot"]["low"], two["pivot"]["high"]) == (0.2, 0.8), "each concept is one of ten units, with two rows"
    assert two["log_probability"]["mean"] == -4.5
    assert (two["step"], two["n_words"]) == (2, 20)
