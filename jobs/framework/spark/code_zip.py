"""Packs the code for executors, as ``spark-submit --py-files`` takes it: ``jobs/`` and ``pivot_udfs/`` as they are now.

python -m jobs.framework.spark.code_zip dist/semantic_pivots.zip
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKED = (".py", ".html", ".css", ".js", ".md", ".json")
"""What the packages are made of."""


def build_zip(target: Path) -> list[str]:
    """Writes the zip; the same files give the same bytes. Returns the names in it."""
    files = [path for package in ("jobs", "pivot_udfs") for path in sorted((ROOT / package).rglob("*"))]
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [path for path in files if path.suffix in PACKED]:
            entry = zipfile.ZipInfo(path.relative_to(ROOT).as_posix())
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
        return archive.namelist()


if __name__ == "__main__":
    sys.stdout.write(f"{sys.argv[1]}: {len(build_zip(Path(sys.argv[1])))} files\n")
