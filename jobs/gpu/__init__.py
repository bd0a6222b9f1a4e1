"""The model side: measures, traces and trains causal language models; torch lives here, pyspark never."""

import os

# Before torch is imported: threads that wait spin otherwise, and on a busy CPU they keep off the ones they wait for
# (one draw of the demo's task beside other work: 20 s instead of more than 150 s).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What training.deterministic needs on a GPU; some versions of torch read it at the first product of matrices.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
