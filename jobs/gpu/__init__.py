"""The model side: scores, traces and trains causal language models with torch; it never imports pyspark."""

import os

# Set before torch is imported: waiting threads would otherwise spin and, on a busy CPU, block those they wait for (one
# draw of the demo's task beside other work: 20 s instead of more than 150 s).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Required by training.deterministic on a GPU; some versions of torch read it at the first matrix product.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
