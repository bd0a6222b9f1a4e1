"""One thread for tiny models: more only wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
