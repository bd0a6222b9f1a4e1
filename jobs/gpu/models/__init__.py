"""Loading models and applying their output head."""
