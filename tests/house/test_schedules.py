"""The commands in ``docs/schedule.md`` are those of jobs that exist, and take the arguments that are given."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "schedule.md").read_text(encoding="utf-8")
_GAP = r"(?:[ ,]+|\n +- )"
"""Between words of a command: on one line, in a list, or in a block of YAML."""
COMMANDS = re.findall(rf"(jobs/\w+\.py){_GAP}--config{_GAP}(\S+?)(?:{_GAP}--log-format{_GAP}(\w+))?(?=[\s\]])", TEXT)


def test_every_way_of_scheduling_has_its_command() -> None:
    assert len(COMMANDS) == len(re.findall(r"jobs/\w+\.py", TEXT)) == 11
    assert sum(job == "jobs/describe_release.py" for job, _, _ in COMMANDS) == 4, "cron, systemd, Airflow, Kubernetes"


@pytest.mark.parametrize(("job", "config", "log_format"), COMMANDS)
def test_a_scheduled_command_names_a_job_and_arguments_of_the_command_line(
    job: str, config: str, log_format: str
) -> None:
    assert (ROOT / job).is_file()
    assert config.rstrip(",").endswith("conf/corpus.toml")
    assert (ROOT / "conf" / "corpus.toml").is_file()
    assert log_format in ("", "json", "text")


@pytest.mark.parametrize("release", ["1.31", "1.34"])
def test_the_objects_are_valid_by_the_schemas_of_kubernetes(release: str) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    objects = [found for block in blocks for found in yaml.safe_load_all(block)]
    kinds = [found["kind"] for found in objects]
    assert kinds == ["CronJob", "ServiceAccount", "Role", "RoleBinding", "Service", "Job"]
    for found in objects:
        kubernetes_validate.validate(found, release, strict=True)
    containers = objects[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    containers[0]["arguments"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(objects[0], release, strict=True)


def test_executors_reach_the_driver_by_the_name_and_ports_of_its_service() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    *_, service, job = yaml.safe_load_all(blocks[1])
    pod = job["spec"]["template"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    given = dict(
        arg.removeprefix("--conf=").split("=", 1) for arg in pod["spec"]["containers"][0]["args"] if "=" in arg
    )
    ports = {port["name"]: str(port["port"]) for port in service["spec"]["ports"]}
    assert (given["spark.driver.port"], given["spark.blockManager.port"]) == (ports["driver"], ports["blocks"])
    assert given["spark.driver.host"] == service["metadata"]["name"]
    assert given["spark.kubernetes.container.image"] == pod["spec"]["containers"][0]["image"]
