"""Folders with unusual names: every job of the model side reads and writes its own folder only."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch", reason="needs the gpu extra (torch)")
pytest.importorskip("deltalake", reason="needs the gpu extra (deltalake)")

from packing_world import dataset_rows
from small_world import make_world, write_pair_tables, write_table
from tiny_models import tiny_model

from jobs.gpu import evaluate_translation, explain_behaviour, pack_dataset, trace_layers, write_model_report
from jobs.gpu.models.load_model import save_model
from jobs.gpu.packing.packed_file import open_packed

pytestmark = pytest.mark.torch
NAMES = ["a%20b", "100%", "%25", "a\tb", "a\\b", "été", "a#b?c"]


def _make(folder: Path, n: int) -> Path:
    """A world whose documents are ``n``; it is made elsewhere and moved, as delta-rs cannot write to every name."""
    plain = folder.with_name("plain")
    plain.mkdir()
    config = make_world(plain, translation={"directions": ["fr-zh"]}, packing={"held_out_share": 0.02})
    save_model(tiny_model(vocabulary=400), plain / "model")
    rows = dataset_rows(plain / "tokenizer.json", n)
    for table in ("documents", "datasets/pivot"):
        write_table(plain / "warehouse", table, rows, plain / "tokenizer.json")
    write_pair_tables(plain)
    plain.rename(folder)
    make_world(folder, translation={"directions": ["fr-zh"]}, packing={"held_out_share": 0.02})
    return folder / config.name


@pytest.mark.parametrize("name", NAMES)
def test_jobs_read_and_write_the_folder_of_the_name(name: str, tmp_path: Path) -> None:
    configs = {_make(tmp_path / name, 200): 200, _make(tmp_path / "a b", 90): 90}
    for config, n in configs.items():
        results, arguments = config.parent / "results", ["--config", str(config)]
        assert pack_dataset.main(arguments) == 0
        packed = [open_packed(results / "packed" / part).manifest["n_documents"] for part in ("pivot", "held_out")]
        assert sum(packed) == n
        for job in (evaluate_translation, trace_layers, explain_behaviour, write_model_report):
            assert job.main(arguments) == 0
        assert pq.read_table(str(results / "explained_pairs.parquet")).num_rows > 0
        assert (config.parent / "warehouse" / "model_report.html").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {name, "a b"}
