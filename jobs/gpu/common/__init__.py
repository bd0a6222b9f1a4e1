"""What every job of the model side shares: settings, errors, files, processes."""
