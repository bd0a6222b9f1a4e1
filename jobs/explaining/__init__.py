"""Explanations of one document or one token: why it is where it is, and what led there."""
