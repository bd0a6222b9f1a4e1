"""The joined table of traces, scores and counts, and what is refused."""

import json
import math
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")

from small_world import make_world, write_pair_tables
from tiny_models import tiny_model

from jobs.gpu import evaluate_translation, explain_behaviour, trace_layers, write_model_report
from jobs.gpu.analysis.explain_direction import explain_rows, markdown_table, precision_table
from jobs.gpu.common.files import write_json
from jobs.gpu.models.load_model import save_model
from jobs.gpu.translation.corpus_counts import sampled_count

pytestmark = pytest.mark.torch


@pytest.fixture(name="config", scope="module")
def _config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    config = make_world(folder, translation={"directions": ["fr-zh", "zh-fr"]})
    save_model(tiny_model(vocabulary=400), folder / "model")
    write_pair_tables(folder)
    return config


def test_the_explanation_joins_traces_scores_and_counts(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config", str(config)]
    assert explain_behaviour.main(arguments) == 2
    assert "traces has no results with provenance: delete it and run jobs.gpu.trace_layers" in capsys.readouterr().err
    assert trace_layers.main(arguments) == 0
    assert explain_behaviour.main(arguments) == 2
    assert "delete it and run jobs.gpu.evaluate_translation" in capsys.readouterr().err
    assert evaluate_translation.main(arguments) == 0
    assert explain_behaviour.main(arguments) == 0
    pairs = pq.read_table(config.parent / "results" / "explained_pairs.parquet").to_pylist()
    for row in pairs:
        assert row["pair_count"] == (row["concept"] * 7) % 11
        assert row["sampled_pair_count"] == row["pair_count"], "no word is frequent enough to be sampled"
        assert row["target_count"] == 10 + row["concept"]
        assert row["n_pair_pivots"] == 3
    found = json.loads((config.parent / "results" / "explanation.json").read_text())
    one = found["directions"]["fr-zh"]
    mine = [row for row in pairs if row["direction"] == "fr-zh"]
    assert one["n_pairs"] == len(mine) == one["behaviour"]["direct"] + one["behaviour"]["pivot"]
    assert len(mine) == sum(one["latent_behaviour"].values()) == sum(one["control_behaviour"].values())
    both = [row for row in pairs if row["latent_behaviour"] == "direct"]
    both = [row for row in both if None not in (row["control_effect"], row["rival_effect"])]
    effect = found["directions"]["all"]["causality"]["direct"]["difference"]
    assert effect["n"] == len(both)
    assert effect["mean"] == pytest.approx(sum(r["pivot_effect"] - r["control_effect"] for r in both) / len(both))
    effect = found["directions"]["all"]["causality"]["direct"]["less_rival"]
    assert effect["mean"] == pytest.approx(sum(r["pivot_effect"] - r["rival_effect"] for r in both) / len(both))
    traces = pq.read_table(config.parent / "results" / "traces" / "fr-zh.parquet").to_pylist()
    assert one["curves"]["en"]["n"] == sum(row["p_en"] is not None for row in traces)
    assert one["curves"]["en"]["mean"][1] == pytest.approx(
        sum(row["p_en"][1] for row in traces if row["p_en"]) / one["curves"]["en"]["n"]
    )
    table = (config.parent / "results" / "traces.md").read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[0] for line in table[2:5]] == ["| fr-zh", "| zh-fr", "| all"]
    assert sorted(table[6:]) == sorted(precision_table(found["directions"]).splitlines())
    assert one["left_out"]["no distractors"] > 0
    assert one["left_out"]["not traced"] == one["left_out"]["not scored"] == 0
    tables = found["provenance"]["tables"]
    assert {name: table["version"] for name, table in tables.items()} == {
        "pair_pivots": 0,
        "word_cooccurrence": 0,
        "word_totals": 0,
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("n", "is_printed"), [(9, False), (10, True)])
def test_an_interval_needs_ten_words(n: int, is_printed: bool) -> None:
    counts = dict.fromkeys(("pair_count", "sampled_pair_count", "target_count", "n_pair_pivots"), 0)
    labels = {"latent_behaviour": "pivot", "behaviour": "pivot", "control_behaviour": "direct", "pivot_language": "en"}
    effects = {"control_effect": 0.0, "rival_effect": -1.0, "best_word_is_pair_pivot": False, "score": None}
    rows = [{"direction": "fr-zh", "concept": k, "pivot_effect": -k / 2} | counts | labels | effects for k in range(n)]
    row = explain_rows(rows, 200, 0)
    less = row["causality"]["pivot"]["less_rival"]
    assert (less["n"], less["mean"]) == (n, pytest.approx(1 - (n - 1) / 4))
    assert (less["low"] < less["mean"] < less["high"]) == is_printed
    line = markdown_table({"all": row}).splitlines()[2]
    assert (f"{less['mean']:.3f} [" in line, f"{less['mean']:.3f} ({n})" in line) == (is_printed, not is_printed)
    assert all(math.isnan(auc["mean"]) for auc in row["auc"]["latent_behaviour"].values()), "there are no direct words"


def _fail(config: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert explain_behaviour.main(["--config", str(config), *options]) == 2
    return capsys.readouterr().err


@pytest.fixture(name="whole")
def _whole(config: Path, tmp_path: Path) -> Path:
    """A world of its own with traces and scores; gives its configuration."""
    for job in (evaluate_translation, trace_layers):
        assert job.main(["--config", str(config)]) == 0
    shutil.copytree(config.parent, tmp_path / "world")
    text = config.read_text().replace(str(config.parent), str(tmp_path / "world"))
    text = text.replace(str(tmp_path / "world" / "model"), str(config.parent / "model"))  # results name the model
    (tmp_path / "world" / config.name).write_text(text)
    return tmp_path / "world" / config.name


def test_traces_and_scores_of_two_models_are_not_joined(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain_behaviour.main(["--config", str(whole)]) == 0
    save_model(tiny_model(seed=5, vocabulary=400), whole.parent / "other")
    shutil.rmtree(whole.parent / "results" / "traces")
    assert trace_layers.main(["--config", str(whole), "--set", f"model.path={whole.parent / 'other'}"]) == 0
    error = _fail(whole, capsys)
    assert "results/scores was made from another model/model.safetensors: " in error
    assert "traces and scores must be of one model" in error


@pytest.mark.parametrize(("folder", "job"), [("traces", "trace_layers"), ("scores", "evaluate_translation")])
def test_results_of_an_older_job_are_not_explained(
    whole: Path, folder: str, job: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = whole.parent / "results" / folder / "_provenance.json"
    tree = json.loads(path.read_text())
    tree["version"] -= 1
    path.write_text(json.dumps(tree))
    error = _fail(whole, capsys)
    assert f"results/{folder} was made from version {tree['version']} of {job}, now {tree['version'] + 1}" in error
    assert f"run jobs.gpu.{job} again" in error


def test_incomplete_results_are_not_explained(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (whole.parent / "results" / "traces" / "zh-fr.parquet").unlink()
    error = _fail(whole, capsys)
    assert "traces lacks zh-fr: run the job that writes them again" in error
    assert trace_layers.main(["--config", str(whole)]) == 0
    (whole.parent / "results" / "scores" / "fr-zh-draw1.parquet").unlink()
    assert "scores lacks fr-zh-draw1" in _fail(whole, capsys)


def test_words_without_a_trace_are_counted(whole: Path) -> None:
    path = whole.parent / "results" / "traces" / "fr-zh.parquet"
    pq.write_table(pq.read_table(path).slice(2), path)
    assert explain_behaviour.main(["--config", str(whole)]) == 0
    found = json.loads((whole.parent / "results" / "explanation.json").read_text())["directions"]
    assert [found[name]["left_out"]["not traced"] for name in ("fr-zh", "zh-fr")] == [2, 0]


def test_results_of_another_task_or_table_are_not_explained(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "traces was made from settings trace.n_pivots = 50, now 7: delete the folder and run" in _fail(
        whole, capsys, "--set", "trace.n_pivots=7"
    )
    write_pair_tables(whole.parent)
    assert "traces was made from tables pair_pivots = version 0, now version 1" in _fail(whole, capsys)
    task = whole.parent / "results" / "task.jsonl"
    task.write_text("".join(task.read_text().splitlines(keepends=True)[:-1]))
    assert "traces was made from another task: " in _fail(whole, capsys)


def test_an_explanation_of_another_release_is_not_reported(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain_behaviour.main(["--config", str(whole)]) == 0
    path, page = whole.parent / "results" / "explanation.json", whole.parent / "page.html"
    arguments = ["--config", str(whole), "--set", f"model_report.path={page}"]
    assert write_model_report.main(arguments) == 0
    tree = json.loads(path.read_text())
    n, pivots = tree["directions"]["all"]["n_pairs"], tree["directions"]["all"]["latent_behaviour"]["pivot"]
    assert f"Of the {n} words and directions traced here {pivots or 'none'} show" in " ".join(page.read_text().split())
    tree["provenance"]["version"] -= 1
    path.write_text(json.dumps(tree))
    assert write_model_report.main(arguments) == 2
    assert "explanation.json is of another release: run jobs.gpu.explain_behaviour again" in capsys.readouterr().err


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [math.nan, 1.5, (math.inf, {"y": -math.inf})], "z": "NaN"})

    def refuse(name: str) -> None:
        raise ValueError(name)

    found = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert found == {"x": [None, 1.5, [None, {"y": None}]], "z": "NaN"}


def test_a_sampled_count_is_estimated_from_some_occurrences_of_each_word() -> None:
    keys = [(("en", f"word{k}"), ("fr", f"mot{k}")) for k in range(2000)]
    counts = {word: n for key in keys for word, n in zip(key, (200, 400), strict=True)}
    found = [sampled_count(key, 60, counts, 100) for key in keys]
    assert sum(found) / len(found) == pytest.approx(60, abs=1.5)
    assert all(n % 8 == 0 for n in found), "half of one word's occurrences, a quarter of the other's"
    assert found == [sampled_count(key, 60, counts, 100) for key in keys]
    assert [sampled_count(keys[0], 60, counts, limit) for limit in (400, 50_000)] == [60, 60]
    assert sampled_count(keys[0], 0, {}, 100) == 0
