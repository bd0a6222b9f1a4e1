"""A stage's outputs change only with its declared version."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import golden_outputs
import pytest
from small_corpus import SmallCorpus

from pivot_udfs.load_settings import load_settings
from pivot_udfs.settings import Settings

if TYPE_CHECKING:
    from jobs.report.report_types import Report


@pytest.mark.spark
@pytest.mark.timeout(900)
def test_outputs_are_the_golden_ones(corpus: SmallCorpus, report: "Report", pytestconfig: pytest.Config) -> None:
    made = outputs_of_every_stage(corpus, report)
    if pytestconfig.getoption("update_golden"):
        golden_outputs.write_golden(made)
    golden = golden_outputs.read_golden()
    faults = [fault for stage, of in made.items() for fault in golden_outputs.differences(stage, of, golden.get(stage))]
    assert faults == []


def outputs_of_every_stage(corpus: SmallCorpus, report: "Report") -> dict[str, dict[str, Any]]:
    from jobs import rebuild_corpus

    settings = load_settings(corpus.config, [], Settings)
    warehouse = corpus.warehouse
    hashes: dict[str, str] = {}
    made = {}
    for stage in rebuild_corpus.STAGES:
        outputs = {
            name: golden_outputs.table_hash(warehouse / name, corpus.folder) for name in stage.writes(settings)
        } or {"page": page_hash(corpus, report)}
        inputs = {name: hashes[name] for name in stage.tables_read(settings)}
        made[stage.name] = {"version": stage.version, "inputs": inputs, "outputs": outputs}
        hashes |= outputs
    return made


def page_hash(corpus: SmallCorpus, report: "Report") -> str:
    from jobs.report.render_page import make_page

    page = make_page(replace(report, tables=(), warehouse=""))
    return golden_outputs.text_hash(golden_outputs.without_figures(page, [str(corpus.folder)]))


SAME = {"version": 1, "inputs": {"documents": "a"}, "outputs": {"word_totals": "b"}}


@pytest.mark.parametrize(
    ("made", "log_text"),
    [
        (SAME, ""),
        (SAME | {"outputs": {"word_totals": "c"}}, "raise STAGE.version in jobs/count_cooccurrence.py"),
        (SAME | {"outputs": {"word_totals": "c"}, "version": 2}, "--update-golden"),
        (SAME | {"version": 2}, "--update-golden"),
        (SAME | {"inputs": {"documents": "x"}, "outputs": {"word_totals": "c"}}, ""),
    ],
)
def test_only_a_change_of_rows_under_the_same_version_is_blamed(made: dict[str, Any], log_text: str) -> None:
    faults = golden_outputs.differences("count_cooccurrence", made, SAME)
    assert bool(faults) == bool(log_text)
    assert all(log_text in fault for fault in faults)


def test_rows_hash_alike_in_any_order_and_place(tmp_path: Path) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    hashes = set()
    for name, order in (("a", [0, 1]), ("b", [1, 0])):
        folder = tmp_path / name
        rows = pa.table({"shard": [f"{folder}/x", f"{folder}/y"], "score": [0.1, 0.2]}).take(order)
        write_deltalake(str(folder / "t"), rows)
        hashes.add(golden_outputs.table_hash(folder / "t", folder))
    assert len(hashes) == 1
