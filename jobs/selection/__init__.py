"""Which documents each dataset takes."""
