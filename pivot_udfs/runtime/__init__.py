"""Compiled kernels: where they are cached, and processor instructions they use."""
