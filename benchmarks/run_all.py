"""Runs every benchmark of the corpus pipeline, each in a process of its own, one after the other.

python -m benchmarks.run_all --corpus FOLDER
"""

import subprocess
import sys

NAMES = (
    "token_counts",
    "identify_language",
    "tokenize_memory",
    "counting_memory",
    "count_job",
    "score_filter_job",
    "tokenize_job",
    "token_id_encodings",
    "incremental_rebuild",
    "driver_scale",
)


def main() -> int:
    """Runs them; the number that failed."""
    return sum(
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=False).returncode != 0
        for name in NAMES
    )


if __name__ == "__main__":
    sys.exit(main())
