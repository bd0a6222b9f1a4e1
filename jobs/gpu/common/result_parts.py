"""Results that are written part by part, so that an interrupted job continues where it stopped.

A part is one Parquet file, written whole or not at all, and named by its content (a direction and a draw). The folder's
``_provenance.json`` records what the parts were made from; parts with different provenance are never mixed.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.gpu.common.files import read_provenance, write_provenance
from pivot_udfs.errors import WarehouseError
from pivot_udfs.provenance import Provenance, difference


class Parts:
    """A folder of Parquet parts made from ``now``.

    Raises WarehouseError where the folder holds parts that were made from something else.
    """

    def __init__(self, folder: Path, now: Provenance) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        made = read_provenance(folder)
        stale = difference(made, now) if made or any(folder.glob("*.parquet")) else None
        if stale:
            raise WarehouseError(
                f"{folder} holds results made from {stale}: delete the folder to make them again, or set another "
                "results.path"
            )
        if made is None:
            write_provenance(folder, now)

    def has(self, name: str) -> bool:
        """Whether this part is written."""
        return self._path(name).is_file()

    def write(self, name: str, table: pa.Table) -> None:
        """Writes one part, whole or not at all."""
        partial = self._path(name).with_suffix(".partial")
        pq.write_table(table, partial, compression="zstd")
        partial.replace(self._path(name))

    def read(self, names: Sequence[str]) -> pa.Table:
        """The named parts, concatenated in this order; raises WarehouseError where a part is missing."""
        missing = [name for name in names if not self.has(name)]
        if missing or not names:
            raise WarehouseError(
                f"{self.folder} lacks {', '.join(missing) or 'all results'}: run the job that writes them again; it "
                "continues where it stopped"
            )
        return pa.concat_tables([pq.read_table(self._path(name)) for name in names])

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"
