#!/bin/sh
# Fetches the jars that a list in conf/ names from Maven Central, checks them, and puts them into Spark's jars folder,
# from where every session takes them without resolving anything.
# Spark's own resolver (the Ivy that comes with it; needs only Java) is tried first, Maven where it is installed second.
# usage: install_jars.sh SPARK_JARS_FOLDER LIST    such as conf/delta-jars.sha256, or conf/s3a-jars.sha256
set -eu
target=$1
sums=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")

check() { # in the folder given: are all jars there and right?
    if command -v sha256sum >/dev/null; then (cd "$1" && sha256sum -c --status "$sums")
    else (cd "$1" && shasum -a 256 -c --status "$sums"); fi
}

group() { # who publishes an artifact
    case $1 in
    delta-*) echo io.delta ;;
    hadoop-*) echo org.apache.hadoop ;;
    analyticsaccelerator-s3) echo software.amazon.s3.analyticsaccelerator ;;
    bundle) echo software.amazon.awssdk ;;
    *) echo "$0 does not know who publishes $1: add it there" >&2 && return 1 ;;
    esac
}

check "$target" 2>/dev/null && exit 0
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
ivy=$(find "$target" -name 'ivy-*.jar' | head -n 1)
while read -r _ file; do
    artifact=${file%-*.jar}
    version=${file##*-}
    version=${version%.jar}
    from=$(group "$artifact")
    java -jar "$ivy" -cache "$place/ivy" -dependency "$from" "$artifact" "$version" -notransitive -types jar \
        -retrieve "$place/[artifact]-[revision].[ext]" >"$place/log" 2>&1 || true
    if [ ! -f "$place/$file" ] && command -v mvn >/dev/null; then
        mvn -q -B dependency:copy "-Dartifact=$from:$artifact:$version" "-DoutputDirectory=$place" >>"$place/log" 2>&1 ||
            true
    fi
    if [ ! -f "$place/$file" ]; then
        cat "$place/log" >&2
        echo "could not fetch $from:$artifact:$version from Maven Central: is there a network, or a proxy to set in" \
            "JAVA_TOOL_OPTIONS? By hand: put the files that $sums names into $target" >&2
        exit 1
    fi
    rm -rf "$place/ivy"
done <"$sums"
if ! check "$place"; then
    echo "a fetched jar has another SHA-256 than $sums records; nothing was installed" >&2
    exit 1
fi
cp "$place"/*.jar "$target/"
