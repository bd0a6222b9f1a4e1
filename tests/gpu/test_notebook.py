"""The notebook that reads corpus tables and traces together runs from top to bottom."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

import matplotlib as mpl
import matplotlib.pyplot as plt
from small_world import make_world, write_pair_tables
from tiny_models import tiny_model

from jobs.gpu import evaluate_translation, explain_behaviour, trace_layers
from jobs.gpu.models.load_model import save_model

pytestmark = pytest.mark.torch
NOTEBOOK = Path(__file__).parents[2] / "docs" / "pivots_and_traces.ipynb"


def _cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_runs_on_tables_and_traces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_world(tmp_path, translation={"directions": ["fr-zh", "en-fr"]})
    save_model(tiny_model(vocabulary=400), tmp_path / "model")
    write_pair_tables(tmp_path)
    for job in (trace_layers, evaluate_translation, explain_behaviour):
        assert job.main(["--config", str(config)]) == 0
    monkeypatch.setenv("WAREHOUSE", str(tmp_path / "warehouse"))
    monkeypatch.setenv("RESULTS", str(tmp_path / "results"))
    names: dict[str, Any] = {}
    with mpl.rc_context({"backend": "agg"}):
        for number, cell in enumerate(_cells()):
            exec(compile("".join(cell["source"]), f"code cell {number}", "exec"), names)  # noqa: S102
        assert len(plt.get_fignums()) == 3
        plt.close("all")
    assert names["languages"] == ["en", "fr", "zh"]
    chosen = names["deciding_probability"](names["word"])
    assert chosen == max(names["candidates"].apply(names["deciding_probability"], axis=1)) > 0
    found = names["pair_pivots"][names["found"]]
    assert found["rank"].tolist() == [1, 2, 3]
    assert set(found["concept"]) == {names["word"]["concept"]}
    assert "words have pair pivots" in capsys.readouterr().out


def test_the_notebook_is_stored_without_outputs() -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in _cells())
