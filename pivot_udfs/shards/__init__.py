"""Input shards: listing, opening and reading them, and validating their records."""
