"""Measurements: each benchmark runs the alternative and ours on the same data, checks the answers, prints the ratio."""
