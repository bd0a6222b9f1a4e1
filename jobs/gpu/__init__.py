"""The model side: measures, traces and trains causal language models; torch lives here, pyspark never."""

import os

# Before torch is imported: threads that wait spin otherwise, and on a busy CPU they keep off the ones they wait for
# (one draw of the demo's task beside other work: 20 s instead of more than 150 s).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
