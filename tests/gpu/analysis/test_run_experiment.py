"""The experiment end to end with tiny models, and the report of its results."""

# ruff: noqa: E402
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

from packing_world import dataset_rows
from page_in_browser import MODES, needs_axe, violations
from small_world import make_world, write_pair_tables, write_table
from tiny_models import tiny_model

from jobs.gpu import (
    convert_model,
    evaluate_translation,
    explain_behaviour,
    pack_dataset,
    run_experiment,
    trace_layers,
    write_model_report,
)
from jobs.gpu.demo_model import start_anew
from jobs.gpu.models.load_model import save_model
from jobs.gpu.training import scored_runs
from jobs.report.language_names import shown_token
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance

pytestmark = pytest.mark.torch


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    config = make_world(
        folder,
        translation={"directions": ["fr-zh", "en-zh"], "with_pivots": True},
        packing={"held_out_share": 0.1},
        training={"sequence_length": 16, "global_batch_tokens": 64, "token_budget": 128, "learning_rate": 0.01},
        experiment={"contrasts": ["pivot-matched"], "seeds": [0, 1], "keep_models": False},
    )
    rows = dataset_rows(folder / "tokenizer.json", 60)
    for name, part in {"documents": rows, "datasets/pivot": rows[:40], "datasets/matched": rows[20:]}.items():
        write_table(folder / "warehouse", name, part, folder / "tokenizer.json")
    write_pair_tables(folder)
    save_model(tiny_model("smollm", vocabulary=400), folder / "model")
    assert run_experiment.main(["--config", str(config)]) == 0
    return config


def _result(config: Path) -> dict[str, Any]:
    return dict(json.loads((config.parent / "results" / "experiment.json").read_text()))


def test_the_table_has_every_arm_and_direction(config: Path) -> None:
    found = _result(config)
    assert found["after"]["contrast"].keys() == {"pivot", "matched"}
    assert found["after"]["score"]["pivot"].keys() == {"fr-zh", "en-zh", "all"}
    assert found["seeds"] == {"pivot": [0, 1], "matched": [0, 1]}
    assert found["warehouse_releases"] == {"pivot": None, "matched": None}, "the world has no table of releases"
    made = found["provenance"]["settings"]
    assert {"training.learning_rate", "training.token_budget", "experiment.seeds"} < made.keys()
    (contrast,) = found["contrasts"]
    assert contrast["effects"]["contrast"]["n_seeds"] == 2
    assert 0 < contrast["effects"]["contrast"]["p_value"] <= 1
    assert contrast["doses"].keys() == {"pivots", "words"}
    assert found["bits_per_byte"]["pivot"].keys() == {"en", "fr", "zh", "all"}
    before = {found["bits_per_byte"][arm]["fr"]["before"] for arm in ("pivot", "matched")}
    assert len(before) == 1, "all arms are measured on the same held-out documents"
    table = (config.parent / "results" / "experiment.md").read_text()
    assert "| matched |" in table
    assert "| pivot-matched | difference: contrast |" in table


def test_finished_parts_are_not_run_again(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _result(config)

    def forbidden(*_args: object) -> None:
        raise AssertionError("must not be run again")

    for module, name in ((scored_runs, "train"), (scored_runs, "load_task_model"), (pack_dataset, "pack")):
        monkeypatch.setattr(module, name, forbidden)
    assert run_experiment.main(["--config", str(config)]) == 0
    assert _result(config) == before
    assert run_experiment.main(["--config", str(config), "--set", "experiment.seeds=[0,1,2]"]) == 1


def test_weights_are_deleted_unless_kept(config: Path) -> None:
    final = config.parent / "results" / "runs" / "pivot-seed0" / "final"
    assert (final / "_provenance.json").is_file()
    assert not list(final.glob("*.safetensors"))


def test_an_arm_with_a_new_table_is_packed_and_trained_again(config: Path, tmp_path: Path) -> None:
    runs = config.parent / "results" / "runs"
    before = {
        name: (runs / name / "final" / "_provenance.json").stat().st_mtime_ns
        for name in ("pivot-seed0", "matched-seed0")
    }
    rows = dataset_rows(config.parent / "tokenizer.json", 60)[10:]
    write_table(config.parent / "warehouse", "datasets/matched", rows, config.parent / "tokenizer.json")
    assert run_experiment.main(["--config", str(config)]) == 0
    after = {name: (runs / name / "final" / "_provenance.json").stat().st_mtime_ns for name in before}
    assert after["pivot-seed0"] == before["pivot-seed0"]
    assert after["matched-seed0"] > before["matched-seed0"]


def _copy(config: Path, folder: Path) -> Path:
    """The same world and results elsewhere; gives its configuration."""
    shutil.copytree(config.parent, folder)
    text = config.read_text().replace(str(config.parent), str(folder))
    (folder / config.name).write_text(text.replace(str(folder / "model"), str(config.parent / "model")))
    return folder / config.name


def test_a_run_whose_weights_were_deleted_is_trained_again_for_an_edited_task(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = _copy(config, tmp_path / "world")
    results = mine.parent / "results"
    before = _result(mine)
    task = results / "task.jsonl"
    task.write_text("".join(task.read_text().splitlines(keepends=True)[:-1]))
    shutil.rmtree(results / "scores")
    assert run_experiment.main(["--config", str(mine)]) == 0
    error = capsys.readouterr().err
    assert error.count("its weights were not kept and its scores are of another task: training it again") == 4
    after = _result(mine)
    assert after["before"]["score"]["en-zh"]["n"] == before["before"]["score"]["en-zh"]["n"] - 1
    assert after["bits_per_byte"] == before["bits_per_byte"], "trained again is trained alike"
    assert run_experiment.main(["--config", str(mine)]) == 0
    assert "training it again" not in capsys.readouterr().err


def test_fewer_directions_need_no_weights(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = _copy(config, tmp_path / "world")
    assert run_experiment.main(["--config", str(mine), "--set", 'translation.directions=["en-zh"]']) == 0
    assert "training it again" not in capsys.readouterr().err
    assert _result(mine)["after"]["score"]["pivot"].keys() == {"en-zh", "all"}


def test_incomplete_weights_are_detected(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}'
    )
    (tmp_path / "2.safetensors").touch()
    assert not scored_runs.has_weights(tmp_path)
    (tmp_path / "1.safetensors").touch()
    assert scored_runs.has_weights(tmp_path)


def test_the_demo_replaces_only_what_a_demo_wrote(tmp_path: Path) -> None:
    for name in ("base", "demo", "corpus", "runs"):
        (tmp_path / name).mkdir()
    with pytest.raises(WarehouseError, match=r"holds runs, but no made_by_demo_model\.json: the demo did not write"):
        start_anew(tmp_path)
    assert (tmp_path / "runs").is_dir()
    (tmp_path / "runs").rmdir()
    start_anew(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "scores.json").touch()
    start_anew(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"base", "demo", "corpus", "made_by_demo_model.json"}


def test_the_report_is_self_contained_and_has_its_provenance(config: Path) -> None:
    arguments = ["--config", str(config)]
    for job in (evaluate_translation, trace_layers, explain_behaviour):
        assert job.main(arguments) == 0
    (config.parent / "warehouse" / "report.html").write_text("<html></html>")
    assert write_model_report.main(arguments) == 0
    page = (config.parent / "warehouse" / "model_report.html").read_text(encoding="utf-8")
    for part in (
        "Scores",
        "Layers",
        "Words",
        "Counts and behaviour",
        "Arms",
        'href="report.html"',
        '<th scope="row">pivot-matched</th><td>difference: contrast</td>',
        "Lexical precision at 1, by layer",
        "all directions: precision at 1 by layer",
        "Labels and causality",
        "Largest: ",
        "Median: ",
        "Smallest: ",
        "pivot-matched by seed: 0: ",
        "Detectable with other numbers of seeds: 2: ",
    ):
        assert part in page
    order = [page.index(f'id="{name}"') for name in ("layers", "labels", "words", "scores", "counts", "arms")]
    assert order == sorted(order)
    assert page.count("<svg") >= 3
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://creativecommons.org", "")
    assert "<script" not in page
    stored = Provenance.from_json(html.unescape(re.findall(r'name="semantic-pivots-made-of" content="(.*?)"', page)[0]))
    assert stored is not None
    assert stored.files.keys() == {*write_model_report.SOURCES} - {"sweep.json"}
    assert "Not run yet" not in page
    assert "The logit lens decodes" in page
    assert "The model was not trained on the counted corpus" in page
    assert write_model_report.main([*arguments, "--set", "model.trained_on_corpus=true"]) == 0
    page = (config.parent / "warehouse" / "model_report.html").read_text(encoding="utf-8")
    assert "The model was trained on the counted corpus" in page
    assert "not trained" not in page


@needs_axe
@pytest.mark.parametrize(("width", "is_dark"), MODES)
def test_axe_finds_no_violation_in_the_report(config: Path, width: int, is_dark: bool) -> None:
    assert write_model_report.main(["--config", str(config)]) == 0
    page = (config.parent / "warehouse" / "model_report.html").read_text(encoding="utf-8")
    assert violations(page, width, is_dark) == []


def test_the_report_names_the_jobs_that_have_not_run(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--config", str(config), "--set", f"results.path={tmp_path}"]
    assert write_model_report.main(options) == 2
    assert "holds no results: run jobs.gpu.evaluate_translation first" in capsys.readouterr().err
    assert evaluate_translation.main(options) == 0
    page = tmp_path / "page.html"
    assert write_model_report.main([*options, "--set", f"model_report.path={page}"]) == 0
    assert "Not run yet: trace_layers, explain_behaviour, run_experiment." in page.read_text(encoding="utf-8")


def test_shown_tokens_have_visible_spaces() -> None:
    assert shown_token(" water") == "␣water"
    assert shown_token("\n") == "⏎"
    assert shown_token("") == "∅"


def test_converting_keeps_the_weights(config: Path, tmp_path: Path) -> None:
    assert convert_model.main(["--config", str(config), "--set", f"results.path={tmp_path}"]) == 0
    assert (tmp_path / "base" / "tokenizer.json").is_file()
    one, two = ((folder / "model.safetensors").read_bytes() for folder in (config.parent / "model", tmp_path / "base"))
    assert one == two
