"""Markdown tables."""

from jobs.framework.markdown import table


def test_cells_stay_cells() -> None:
    assert table(["a"], [["x | y\nz"], [1234567]]) == "| a |\n| --- |\n| x \\| y z |\n| 1,234,567 |"
