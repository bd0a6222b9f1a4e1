"""Descriptions of datasets for people and registers, made from the tables of a release and ``[sources]``."""
