"""Benchmarks of the model side, on whatever device is there."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as jobs.gpu does, but before torch is imported here
