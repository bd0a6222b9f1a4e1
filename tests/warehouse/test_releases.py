"""Releases name the versions of tables that belong together, and are what is read when no version is named."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from jobs.gpu.common.read_tables import open_table
from jobs.warehouse.arrow_tables import ArrowTables
from jobs.warehouse.delta.commit_history import read_content
from jobs.warehouse.releases import read_release
from pivot_udfs.errors import DamagedTableError, WarehouseError
from pivot_udfs.provenance import Provenance
from pivot_udfs.schemas import RELEASES
from pivot_udfs.storage.stores import resolve


def write(warehouse: Path, n_rows: int) -> None:
    """A version of ``pivots`` with so many rows."""
    made = CommitProperties(custom_metadata={"userMetadata": Provenance("find_pivots", n_rows).to_json()})
    rows = pa.table({"token_id": list(range(n_rows))})
    write_deltalake(str(warehouse / "pivots"), rows, mode="overwrite", commit_properties=made, target_file_size=1)


def release(warehouse: Path, number: int) -> None:
    """A release of the newest version."""
    content = read_content(DeltaTable(str(warehouse / "pivots")))
    provenance = Provenance("rebuild_corpus", 1, tables={"pivots": content.rows})
    versions = [("pivots", content.newest)]
    row = {
        "release": number,
        "committed_at": datetime.now(UTC),
        "versions": versions,
        "provenance": provenance.to_json(),
    }
    write_deltalake(str(warehouse / "releases"), pa.Table.from_pylist([row], schema=RELEASES), mode="append")


def n_rows(warehouse: Path, number: int | None = None) -> int:
    return open_table(str(warehouse), "pivots", release=number).dataset.count_rows()


def n_rows_in_arrow(warehouse: Path, number: int | None = None) -> int:
    tables = ArrowTables(str(warehouse), number)
    return len(tables.rows("pivots", ["token_id"], ds.field("token_id") >= 0))


def test_the_newest_release_is_read_also_when_a_table_is_ahead_of_it(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path, 3 + number)
        release(tmp_path, number)
    write(tmp_path, 9)
    assert (n_rows(tmp_path), n_rows(tmp_path, 0), n_rows(tmp_path, 1)) == (4, 3, 4)
    for asked, wanted in ((None, 4), (0, 3), (1, 4)):
        assert n_rows_in_arrow(tmp_path, asked) == wanted
    found = read_release(resolve(str(tmp_path)))
    assert found is not None
    assert (found.release, found.versions) == (1, {"pivots": 1})


def test_without_releases_the_newest_version_is_read(tmp_path: Path) -> None:
    write(tmp_path, 3)
    write(tmp_path, 5)
    assert read_release(resolve(str(tmp_path))) is None
    assert n_rows(tmp_path) == n_rows_in_arrow(tmp_path) == 5


def test_a_release_outlives_maintenance_of_its_tables(tmp_path: Path) -> None:
    write(tmp_path, 3)
    release(tmp_path, 0)
    table = DeltaTable(str(tmp_path / "pivots"))
    table.optimize.compact()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert n_rows(tmp_path) == n_rows(tmp_path, 0) == n_rows_in_arrow(tmp_path, 0) == 3


@pytest.mark.parametrize(("n_releases", "there"), [(0, "there is none"), (2, "0 to 1 are there")])
def test_a_release_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, n_releases: int, there: str) -> None:
    write(tmp_path, 3)
    for number in range(n_releases):
        release(tmp_path, number)
    with pytest.raises(WarehouseError, match=rf"has no release 7 \({there}\)"):
        open_table(str(tmp_path), "pivots", release=7)


def test_a_table_of_releases_that_lacks_a_column_is_refused_with_a_remedy(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "releases"), pa.table({"release": [0]}))
    with pytest.raises(DamagedTableError, match=r"cannot be read .*committed_at.*: restore it from a copy"):
        read_release(resolve(str(tmp_path)))
