"""Steps for the tests of the GPU script."""

import os
import time
from collections.abc import Iterator
from typing import Any


def hang(_context: Any) -> Iterator[dict[str, Any]]:
    """One result, and then nothing more."""
    yield {"n": 1}
    time.sleep(600)


def fail(_context: Any) -> Iterator[dict[str, Any]]:
    """No result."""
    raise RuntimeError("no such thing")
    yield {}


def die(_context: Any) -> Iterator[dict[str, Any]]:
    """No result and no process."""
    os._exit(3)
    yield {}
