"""Benchmarks of the model side, on whatever device is there."""
