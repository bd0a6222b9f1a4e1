"""The messages in ``docs/troubleshooting.md`` are messages of the code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = [
    message
    for line in TEXT.splitlines()
    if line.startswith("| `")
    for message in re.findall(r"`([^`]+)`", line.split(" | ")[0])
]


def texts_of(path: Path) -> list[str]:
    """Every string of a file; ``{}`` stands for what is filled in."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            found.append("".join(map(str, parts)))
    return found


@pytest.fixture(scope="module")
def texts() -> str:
    paths = [path for folder in ("jobs", "pivot_udfs") for path in sorted((ROOT / folder).rglob("*.py"))]
    return "\n".join(text for path in paths for text in texts_of(path))


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 20


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_of_the_page_is_one_of_the_code(message: str, texts: str) -> None:
    assert message in texts
