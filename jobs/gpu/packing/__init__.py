"""Datasets packed into token files."""
