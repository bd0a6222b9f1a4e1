"""Results that grow part by part, so that a killed run goes on where it stopped.

A part is one Parquet file, written whole or not at all, named by what it holds (a direction and a draw).
Beside the parts lies ``_made_by.json``: what they were made from. Parts made from anything else are refused,
never mixed.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.gpu.common.run_job import write_json
from pivot_udfs.errors import WarehouseError


class Parts:
    """A folder of Parquet parts made from one thing.

    Args:
        folder: created where missing.
        made_by: JSON-able identity of the results: model, task, settings.

    Raises:
        WarehouseError: the folder holds parts made from something else.
    """

    def __init__(self, folder: Path, made_by: dict[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        stamp = folder / "_made_by.json"
        wanted = json.loads(json.dumps(made_by, sort_keys=True))
        if stamp.is_file():
            found = json.loads(stamp.read_text(encoding="utf-8"))
            different = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
            if different:
                key = different[0]
                raise WarehouseError(
                    f"{folder} holds results of another run ({key}: {found.get(key)!r} there, "
                    f"{wanted.get(key)!r} "
                    "now): delete the folder, or set another results.path"
                )
        else:
            write_json(stamp, wanted)

    def has(self, name: str) -> bool:
        """Whether this part is written."""
        return self._path(name).is_file()

    def write(self, name: str, table: pa.Table) -> None:
        """Writes one part, whole or not at all."""
        partial = self._path(name).with_suffix(".partial")
        pq.write_table(table, partial, compression="zstd")
        partial.replace(self._path(name))

    def read(self, names: Sequence[str]) -> pa.Table:
        """The named parts, in this order.

        Raises:
            WarehouseError: one is not there.
        """
        lacking = [name for name in names if not self.has(name)]
        if lacking or not names:
            raise WarehouseError(
                f"{self.folder} lacks {', '.join(lacking) or 'all results'}: run the job that makes them again; it "
                "goes on where it stopped"
            )
        return pa.concat_tables([pq.read_table(self._path(name)) for name in names])

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"
