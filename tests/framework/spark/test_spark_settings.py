"""Every setting of Spark takes effect, or is refused or warned about in one line."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pyspark import SparkContext
from standalone_cluster import SPARK

from jobs.framework.spark.spark_settings import check_spark_settings, spark_conf, spark_defaults, too_late, with_delta
from pivot_udfs.errors import ConfigError
from pivot_udfs.settings import Spark

DELTA = "io.delta.sql.DeltaSparkSessionExtension"
MASTERS = ["", "local", "local[*]", "local[4]", "local[2,3]", "local-cluster[2,1,1024]", "yarn", "k8s://https://h:1"]


@pytest.mark.parametrize("master", [*MASTERS, "spark://host:7077", "spark://a:7077,b:7077"])
def test_masters_of_every_kind_are_accepted(master: str) -> None:
    check_spark_settings(master, {})


@pytest.mark.parametrize(
    "master",
    ["lokal", "local[", "local[two]", "local[0]", "local[00,2]", "spark://", "spark://host", "mesos://h:1", "http://h"],
)
def test_what_is_no_master_is_refused(master: str) -> None:
    with pytest.raises(ConfigError, match=r"spark.master = '.*' is no master: use local\[\*\]"):
        check_spark_settings(master, {})


@pytest.mark.parametrize("size", ["3g", "512m", "2G", "1048576k", "10g", "3072"])
def test_memory_sizes_are_accepted(size: str) -> None:
    check_spark_settings("", {"spark.driver.memory": size, "spark.executor.memoryOverhead": size})


@pytest.mark.parametrize("size", ["3 bananas", "3kg", "", "-1g", "3.5g", "g", "0x3g"])
def test_what_is_no_memory_size_is_refused(size: str) -> None:
    with pytest.raises(ConfigError, match=r"spark.driver.memory = .* is no size of memory: write it like 3g"):
        check_spark_settings("", {"spark.driver.memory": size})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spark.master", "local[2]"),
        ("spark.pyspark.driver.python", sys.executable),
        ("spark.submit.deployMode", "cluster"),
        ("spark.remote", "sc://localhost"),
        ("spark.api.mode", "connect"),
    ],
)
def test_a_key_without_effect_is_refused(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key} = '.*' has no effect in spark.conf: \w+"):
        check_spark_settings("", {key: value})


def test_the_python_of_local_workers_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "/nowhere/python")
    for python in (sys.executable, "python3"):
        check_spark_settings("local[2]", {"spark.pyspark.python": python})
    with pytest.raises(ConfigError, match=r"spark.pyspark.python = './environment/bin/python': there is no such"):
        check_spark_settings("local[2]", {"spark.pyspark.python": "./environment/bin/python"})
    with pytest.raises(ConfigError, match=r"PYSPARK_PYTHON = '/nowhere/python': there is no such program"):
        check_spark_settings("local[2]", {})
    check_spark_settings("yarn", {"spark.pyspark.python": "./environment/bin/python"})  # a path on the executors
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")  # under spark-submit, whose --master takes precedence
    check_spark_settings("local[2]", {})


def test_keys_that_only_the_launcher_of_a_jvm_reads_are_found() -> None:
    late = ["spark.driver.memory", "spark.driver.extraJavaOptions", "spark.jars.packages", "spark.jars"]
    others = [
        "spark.executor.memory",
        "spark.sql.shuffle.partitions",
        "spark.driver.maxResultSize",
        "spark.driver.host",
    ]
    conf = dict.fromkeys([*late, *others], "x")
    assert too_late(conf, {}.get) == late
    assert too_late(conf, {"spark.driver.memory": "1g"}.get) == late[1:]


def test_the_defaults_file_of_spark_comes_after_the_configuration_and_before_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SparkContext, "_jvm", None)  # else its properties are among the settings
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert spark_defaults() == {}
    (tmp_path / "spark-defaults.conf").write_text(
        "# a comment\nspark.driver.memory 5g\nspark.sql.extensions=org.example.Other\n\nspark.app.name : a name \n"
        "  spark.ui.enabled\ttrue\nother.key 1\n",
        encoding="utf-8",
    )
    conf = spark_conf("a job", Spark(master="local[1]", conf={"spark.driver.memory": "4g"}))
    assert conf.get("spark.driver.memory") == "4g"
    assert conf.get("spark.sql.extensions") == "org.example.Other,io.delta.sql.DeltaSparkSessionExtension"
    assert conf.get("spark.app.name") == "a name"
    assert conf.get("spark.ui.enabled") == "true"
    assert conf.get("spark.sql.shuffle.partitions") == "8"
    assert not conf.contains("other.key")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, DELTA),
        ("", DELTA),
        (DELTA, DELTA),
        ("org.example.Other", f"org.example.Other,{DELTA}"),
        (f"{DELTA}, org.example.Other", f"{DELTA},org.example.Other"),
    ],
)
def test_delta_joins_the_extensions_that_are_there(given: str | None, wanted: str) -> None:
    assert with_delta(given) == wanted


@pytest.mark.parametrize(
    ("master", "given", "level"),
    [
        ("yarn", {}, "WARN"),
        ("spark://host:7077", {}, "WARN"),
        ("k8s://https://h:1", {}, "WARN"),
        ("local-cluster[2,1,1024]", {}, "ERROR"),
        ("local[2]", {}, "ERROR"),
        ("yarn", {"spark.log.level": "INFO"}, "INFO"),
        ("local[2]", {"spark.log.level": "DEBUG"}, "DEBUG"),
    ],
)
def test_the_lines_of_spark_begin_at_warnings_unless_another_level_is_set(
    master: str, given: dict[str, str], level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SparkContext, "_jvm", None)  # else its properties are among the settings
    assert spark_conf("a job", Spark(master=master, conf=given)).get("spark.log.level") == level


def test_the_jvm_has_one_compiler_in_local_mode_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SparkContext, "_jvm", None)
    local, cluster = (spark_conf("a job", Spark(master=name)) for name in ("local[1]", "spark://a:7077"))
    assert "-XX:TieredStopAtLevel=1" in str(local.get("spark.driver.defaultJavaOptions"))
    assert not local.contains("spark.driver.extraJavaOptions")  # a user's come after the defaults, and take precedence
    assert not cluster.contains("spark.driver.defaultJavaOptions")


SESSION = """
import json, os, sys, tomllib
from jobs.framework.spark.spark_session import start_session
from pivot_udfs.settings import Spark

def seen(batches):
    import pyarrow as pa
    for _ in batches:
        yield pa.RecordBatch.from_pylist([{"wrapper": os.environ.get("WRAPPER"), "x": os.environ.get("X")}])

session = start_session("a job", Spark(master="local[1]", conf=json.loads(sys.argv[1])))
jvm = session._jvm
found = session.range(1, numPartitions=1).mapInArrow(seen, "wrapper string, x string").first().asDict()
found["memory"] = jvm.Runtime.getRuntime().maxMemory() >> 20
found["jar"] = jvm.Thread.currentThread().getContextClassLoader().getResource("marker.txt") is not None
found |= {key: session.conf.get(key) for key in ("spark.app.name", "spark.sql.shuffle.partitions")}
print(json.dumps(found))
"""


@pytest.mark.spark
@pytest.mark.parametrize("submitted", [False, True])
def test_settings_take_effect_in_a_session(submitted: bool, tmp_path: Path) -> None:
    (tmp_path / "python").write_text(f'#!/bin/sh\nWRAPPER=yes exec {sys.executable} "$@"\n', encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "session.py").write_text(SESSION, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "marker.jar", "w") as jar:
        jar.writestr("marker.txt", "")
    conf = {
        "spark.pyspark.python": f"{tmp_path}/python",
        "spark.executorEnv.X": "y",
        "spark.driver.memory": "700m",
        "spark.jars": f"{tmp_path}/marker.jar",
        "spark.app.name": "a name",
        "spark.sql.shuffle.partitions": "3",
    }
    command = [sys.executable, f"{tmp_path}/session.py", json.dumps(conf)]
    if submitted:
        options = [part for each in conf.items() for part in ("--conf", "=".join(each))]
        command = [str(SPARK / "bin" / "spark-submit"), "--master", "local[1]", *options, *command[1:]]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3_000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert 600 < found.pop("memory") <= 700
    assert found == {
        "wrapper": "yes",
        "x": "y",
        "jar": True,
        "spark.app.name": "a name",
        "spark.sql.shuffle.partitions": "3",
    }
