"""Sections of the settings of a run, and the types that both sides share."""
