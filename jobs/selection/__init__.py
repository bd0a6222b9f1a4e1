"""Which documents each arm takes: how much of what, which rows fit, and in which file each document lies."""
