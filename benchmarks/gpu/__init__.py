"""Benchmarks of the model side, on a GPU or on a CPU."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as jobs.gpu does, but before torch is imported here
