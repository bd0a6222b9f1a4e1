"""The Delta tables: how they are read, written and committed, and what made them."""
