"""The model side's HTML report."""
