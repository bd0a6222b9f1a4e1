"""Statistics over traces, scores and arms."""
