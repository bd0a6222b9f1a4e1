"""Tokenizers: loading, encoding, vocabularies and token offsets."""
