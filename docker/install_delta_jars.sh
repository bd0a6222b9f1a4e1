#!/bin/sh
# Fetches the jars that conf/delta-jars.sha256 names from Maven Central, checks them, and puts them into Spark's jars
# folder, from where every session takes them without resolving anything.
# Spark's own resolver (the Ivy that comes with it; needs only Java) is tried first, Maven where it is installed second.
# usage: install_delta_jars.sh SPARK_JARS_FOLDER
set -eu
target=$1
sums=$(cd "$(dirname "$0")/../conf" && pwd)/delta-jars.sha256

check() { # in the folder given: are all jars there and right?
    if command -v sha256sum >/dev/null; then (cd "$1" && sha256sum -c --status "$sums")
    else (cd "$1" && shasum -a 256 -c --status "$sums"); fi
}

check "$target" 2>/dev/null && exit 0
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
ivy=$(ls "$target"/ivy-*.jar | head -n 1)
while read -r _ file; do
    artifact=${file%-*.jar}
    version=${file##*-}
    version=${version%.jar}
    java -jar "$ivy" -cache "$place/ivy" -dependency io.delta "$artifact" "$version" -notransitive -types jar \
        -retrieve "$place/[artifact]-[revision].[ext]" >"$place/log" 2>&1 || true
    if [ ! -f "$place/$file" ] && command -v mvn >/dev/null; then
        mvn -q -B dependency:copy "-Dartifact=io.delta:$artifact:$version" "-DoutputDirectory=$place" >>"$place/log" 2>&1 ||
            true
    fi
    if [ ! -f "$place/$file" ]; then
        cat "$place/log" >&2
        echo "could not fetch io.delta:$artifact:$version from Maven Central: is there a network, or a proxy to set in" \
            "JAVA_TOOL_OPTIONS? By hand: put the files that $sums names into $target" >&2
        exit 1
    fi
done <"$sums"
if ! check "$place"; then
    echo "a fetched jar has another SHA-256 than $sums records; nothing was installed" >&2
    exit 1
fi
cp "$place"/*.jar "$target/"
