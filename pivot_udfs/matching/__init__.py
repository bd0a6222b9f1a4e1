"""The lexicon, and its words found in texts."""
