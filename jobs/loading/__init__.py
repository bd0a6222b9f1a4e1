"""Loads shards into the tables: which ones, in which batches, and what is checked before a commit."""
