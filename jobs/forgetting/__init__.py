"""Forgetting: the block list, what a user asks to forget, removal from tables, and what still holds it."""
