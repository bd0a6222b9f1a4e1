"""A Spark without Delta's jars, and a Maven repository on disk from which ``--packages`` can resolve them."""

import shutil
from pathlib import Path

import pyspark

INSTALLED = Path(pyspark.__file__).parent
POM = """<project><modelVersion>4.0.0</modelVersion><groupId>{group}</groupId><artifactId>{artifact}</artifactId>
<version>{version}</version><packaging>jar</packaging><dependencies>{dependencies}</dependencies></project>
"""
DEPENDENCY = "<dependency><groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version></dependency>"
IVY_SETTINGS = """<ivysettings><settings defaultResolver="local"/><resolvers>
<ibiblio name="local" m2compatible="true" root="{root}/"/>
</resolvers></ivysettings>
"""


def spark_home_without_delta(folder: Path) -> Path:
    """A folder of links to the installed Spark, without the jars of Delta."""
    (folder / "jars").mkdir(parents=True)
    for source in INSTALLED.iterdir():
        if source.name != "jars":
            (folder / source.name).symlink_to(source)
    for jar in (INSTALLED / "jars").iterdir():
        if not jar.name.startswith("delta-"):
            (folder / "jars" / jar.name).symlink_to(jar)
    return folder


def delta_packages(folder: Path) -> list[str]:
    """Arguments of spark-submit that resolve the installed Delta by ``--packages``, without a network."""
    coordinates = {jar: _coordinates(jar) for jar in sorted((INSTALLED / "jars").glob("delta-*.jar"))}
    storage, spark = (
        next(found for found in coordinates.values() if found[1].startswith(name))
        for name in ("delta-storage", "delta-spark")
    )
    for jar, (group, artifact, version) in coordinates.items():
        place = folder / "repository" / group.replace(".", "/") / artifact / version
        place.mkdir(parents=True)
        shutil.copy(jar, place)
        dependencies = DEPENDENCY.format(*storage) if (group, artifact, version) == spark else ""
        pom = POM.format(group=group, artifact=artifact, version=version, dependencies=dependencies)
        (place / f"{artifact}-{version}.pom").write_text(pom, encoding="utf-8")
    settings = folder / "ivysettings.xml"
    settings.write_text(IVY_SETTINGS.format(root=(folder / "repository").as_uri()), encoding="utf-8")
    conf = {"spark.jars.ivySettings": settings, "spark.jars.ivy": folder / "ivy"}
    flags = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    return [*flags, "--packages", ":".join(spark)]


def _coordinates(jar: Path) -> tuple[str, str, str]:
    artifact, _, version = jar.stem.rpartition("-")
    return "io.delta", artifact, version
