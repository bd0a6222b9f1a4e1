"""Files in local and object stores."""
