"""The model side: measures, traces and trains causal language models; torch lives here, pyspark never."""
