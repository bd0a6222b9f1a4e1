"""Characters, scripts and languages."""
