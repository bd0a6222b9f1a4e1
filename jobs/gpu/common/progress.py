"""Progress bars, on a terminal only; there are none where log lines are JSON objects."""

from typing import Any

from tqdm import tqdm

from jobs.framework.log_lines import is_json


def progress_bar(*items: Any, disable: bool = False, **options: Any) -> Any:
    """A bar of ``tqdm`` over items, or one that is updated by hand."""
    return tqdm(*items, disable=True if disable or is_json() else None, **options)
