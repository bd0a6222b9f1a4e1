"""The corpus report: what the tables say (data), as figures (plots), as one HTML page (page)."""
