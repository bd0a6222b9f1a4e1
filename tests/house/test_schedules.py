"""The commands in ``docs/schedule.md`` are those of jobs that exist, and take the arguments that are given."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

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


@pytest.mark.parametrize("release", ["1.31", "1.34"])
def test_the_manifest_is_valid_by_the_schema_of_kubernetes(release: str) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    manifest = yaml.safe_load(block)
    kubernetes_validate.validate(manifest, release, strict=True)
    manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["arguments"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, release, strict=True)
