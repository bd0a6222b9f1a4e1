"""The kernels that count co-occurrence."""
