"""The commands in ``docs/schedule.md`` are those of jobs that exist, and take the arguments that are given."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "schedule.md").read_text(encoding="utf-8")
_GAP = r"(?:[ ,]+|\n +- )"
"""Between words of a command: on one line, in a list, or in a block of YAML."""
COMMANDS = re.findall(rf"(jobs/\w+\.py){_GAP}--config{_GAP}(\S+?)(?:{_GAP}--log-format{_GAP}(\w+))?(?=[\s\]])", TEXT)


def test_every_way_of_scheduling_has_its_command() -> None:
    assert len(COMMANDS) == len(re.findall(r"jobs/\w+\.py", TEXT)) == 13
    for job in ("describe_release", "maintain_warehouse"):
        assert sum(named == f"jobs/{job}.py" for named, _, _ in COMMANDS) == 4, "cron, systemd, Airflow, Kubernetes"


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


@pytest.mark.parametrize(
    ("codes", "ended"),
    [([0, 0], 0), ([2], 2), ([1], 1), ([75, 0, 0], 0), ([0, 75, 0, 0], 0), ([75, 75, 75], 75), ([75, 137], 137)],
)
def test_the_script_for_cron_tries_again_after_faults_that_pass_alone_and_prints_other_errors(
    tmp_path: Path, codes: list[int], ended: int
) -> None:
    """``codes``: of the jobs that are run, in order."""
    [script] = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    python, sleep = tmp_path / ".venv" / "bin" / "python", tmp_path / "bin" / "sleep"
    job = 'read -r code < codes; sed -i 1d codes; echo "pivots"; echo "job: $code" >&2; exit "$code"'
    for path, text in ((python, job), (sleep, "exit 0")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
    (tmp_path / "codes").write_text("".join(f"{code}\n" for code in codes), encoding="utf-8")
    done = subprocess.run(
        ["sh", "-c", script.replace("/srv/corpus", str(tmp_path))],
        env=os.environ | {"PATH": f"{sleep.parent}:{os.environ['PATH']}"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, (tmp_path / "codes").read_text(encoding="utf-8")) == (ended, "")
    assert (done.stdout, done.stderr) == (f"exit code {ended}\njob: {ended}\n" if ended else "", "")


class FailForGoodError(Exception):
    """Stands for ``AirflowFailException``."""


@pytest.mark.parametrize(
    ("code", "raised"), [(0, None), (75, RuntimeError), (2, FailForGoodError), (-9, FailForGoodError)]
)
def test_airflow_tries_again_after_faults_that_pass_alone(
    monkeypatch: pytest.MonkeyPatch, code: int, raised: type[Exception] | None
) -> None:
    [text] = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    modules: dict[str, Any] = {name: ModuleType(name) for name in ("airflow", "airflow.sdk", "airflow.exceptions")}
    modules["airflow.sdk"].task = modules["airflow.sdk"].dag = lambda **_: lambda function: function
    modules["airflow.exceptions"].AirflowFailException = FailForGoodError
    modules["pendulum"] = ModuleType("pendulum")
    modules["pendulum"].datetime = lambda *_, **__: None
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], code))
    names: dict[str, Any] = {}
    exec(text.removesuffix("rebuild_corpus()\n"), names)  # noqa: S102 - the code of the page
    if raised is None:
        names["run_job"]("a job")
    else:
        with pytest.raises(raised):
            names["run_job"]("a job")


def test_systemd_and_kubernetes_try_again_after_faults_that_pass_alone() -> None:
    [prevented] = re.findall(r"^RestartPreventExitStatus=(.*)$", TEXT, re.MULTILINE)
    assert {"1", "2", "130"} <= set(prevented.split())
    assert "75" not in prevented
    blocks = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    cron, *_, job = (found for block in blocks for found in yaml.safe_load_all(block))
    for spec in (cron["spec"]["jobTemplate"]["spec"], job["spec"]):
        assert spec["podFailurePolicy"]["rules"][-1]["onExitCodes"] == {"operator": "NotIn", "values": [75]}
