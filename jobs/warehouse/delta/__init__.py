"""One Delta table through delta-rs: its log, its files, commits and maintenance."""
