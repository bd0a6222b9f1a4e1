"""The word translation task: its words, prompts and scores."""
