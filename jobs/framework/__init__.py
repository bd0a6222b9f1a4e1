"""What every job runs in: the command line, the Spark session, stages, progress."""
