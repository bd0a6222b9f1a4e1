"""Hashes of what every stage makes of the small corpus, to compare with those kept in ``golden/outputs.json``.

    python -m pytest tests/jobs/test_golden.py --update-golden

A stage's rows may change only together with ``Stage.version``, since that number is what tells a rebuild to run the
stage again.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

_OF_FILES = ("content_id", "n_bytes", "modified_ns")
"""Columns of ``shards`` that change each time the small corpus is packed."""
GOLDEN = Path(__file__).parents[1] / "golden" / "outputs.json"


def table_hash(path: Path | str, folder: Path | str) -> str:
    """SHA-256 of a Delta table's rows, whatever their order.

    Args:
        path: the table, or its URI.
        folder: of the corpus; paths below it are hashed as relative ones.
    """
    table = DeltaTable(str(path)).to_pyarrow_table()
    rows = table.drop_columns([name for name in _OF_FILES if name in table.column_names]).to_pylist()
    lines = sorted(json.dumps(_stable(row), ensure_ascii=False, sort_keys=True) for row in rows)
    return _sha256("\n".join(lines).replace(str(folder), ""))


def text_hash(text: str) -> str:
    """SHA-256 of a text."""
    return _sha256(text)


def differences(stage: str, made: dict[str, Any], golden: dict[str, Any] | None) -> list[str]:
    """What is wrong with a stage's outputs; nothing where its inputs already differ, which is their maker's fault.

    Args:
        stage: its name.
        made: ``version``, ``inputs`` and ``outputs`` (name to hash) as made now.
        golden: the same as kept, None for a stage without.
    """
    if golden is None:
        return [f"{stage} has no golden outputs: run pytest with --update-golden"]
    changed = sorted(name for name, found in made["outputs"].items() if golden["outputs"].get(name) != found)
    if made["inputs"] != golden["inputs"]:
        return []
    if changed and made["version"] == golden["version"]:
        names = ", ".join(changed)
        return [
            f"{stage} makes other rows of {names} than before and still says version {made['version']}: raise "
            f"STAGE.version in jobs/{stage}.py, then run pytest with --update-golden"
        ]
    if changed or made["version"] != golden["version"]:
        return [f"{stage} is at version {made['version']}, golden outputs are of {golden['version']}: --update-golden"]
    return []


def read_golden() -> dict[str, Any]:
    """The kept hashes by stage."""
    found: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    return found


def write_golden(made: dict[str, Any]) -> None:
    """Keeps hashes."""
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _stable(value: Any) -> Any:
    """Values as every machine gives them: the last digits of a logarithm differ between processors."""
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items()}
    return value


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def without_figures(page: str, hidden: Sequence[str]) -> str:
    """A report page without its figures, which differ between releases of matplotlib, and without texts to hide."""
    parts = page.split("<svg")
    text = parts[0] + "".join(part.partition("</svg>")[2] for part in parts[1:])
    for each in hidden:
        text = text.replace(each, "")
    return text
