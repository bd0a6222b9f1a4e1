"""The commands in ``docs/schedule.md`` are those of jobs that exist, and take the arguments that are given."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "schedule.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(jobs/\w+\.py)[ ,]+--config[ ,]+(\S+?)(?:[ ,]+--log-format[ ,]+(\w+))?(?=[\s\]])", TEXT)


def test_every_way_of_scheduling_has_its_command() -> None:
    assert len(COMMANDS) == len(re.findall(r"jobs/\w+\.py", TEXT)) == 6


@pytest.mark.parametrize(("job", "config", "log_format"), COMMANDS)
def test_a_scheduled_command_names_a_job_and_arguments_of_the_command_line(
    job: str, config: str, log_format: str
) -> None:
    assert (ROOT / job).is_file()
    assert config.rstrip(",").endswith("conf/corpus.toml")
    assert (ROOT / "conf" / "corpus.toml").is_file()
    assert log_format in ("", "json", "text")
