"""The command ``semantic-pivots``, which an installed package has in place of ``python jobs/<job>.py``."""
