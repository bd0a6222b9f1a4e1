#!/usr/bin/env bash
# Builds the images with buildah, which needs no Docker engine, and runs the demo in the first, twice: the second run must
# find nothing to do. As root:
#   apt-get install buildah debootstrap
#   docker/build_images.sh [--base IMAGE] [--gpu]
# Without --base the base image is Debian 12, made by debootstrap, for machines that reach no image registry; it gets the
# certificate authorities that were added to the machine. --gpu builds the image of the model side, too (7.6 GB; 25 GB
# are needed meanwhile), and imports every module of it there.
set -euo pipefail
shopt -s inherit_errexit # else a base image that failed half-way would be committed and kept
cd "$(dirname "$0")/.."
base="" gpu=""
while [ $# -gt 0 ]; do
    case "$1" in
    --base) base=$2 && shift 2 ;;
    --gpu) gpu=yes && shift ;;
    *) echo "usage: docker/build_images.sh [--base IMAGE] [--gpu]" >&2 && exit 2 ;;
    esac
done
export BUILDAH_ISOLATION=chroot
storage=$(buildah info --format '{{.store.GraphRoot}}')
free=$(df --output=avail --block-size=1G "$storage" | tail -n 1)
if [ -n "$gpu" ] && [ "$free" -lt 25 ]; then
    echo "docker/build_images.sh: $storage has $((free)) GB free, --gpu needs 25: free space there" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_base() {
    buildah inspect localhost/debian-python >/dev/null 2>&1 && echo localhost/debian-python && return
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$work/root" >&2
    cp /usr/local/share/ca-certificates/*.crt "$work/root/usr/local/share/ca-certificates/" 2>/dev/null || true
    chroot "$work/root" update-ca-certificates >&2
    (cd "$work/root" && rm -rf var/cache/apt var/lib/apt/lists/* usr/share/{doc,info,locale,man})
    container=$(buildah from scratch)
    buildah copy --quiet "$container" "$work/root" / >&2
    buildah commit --quiet --rm "$container" localhost/debian-python >&2
    echo localhost/debian-python
}

build() { # NAME DOCKERFILE
    buildah build --quiet --layers --build-arg BASE="$base" --file "$2" --tag "$1" .
    buildah images --format '{{.Name}} {{.Size}}' "$1"
}

[ -n "$base" ] || base=$(make_base)
build semantic-pivots docker/Dockerfile
container=$(buildah from semantic-pivots)
trap 'rm -rf "$work"; buildah rm "$container" >/dev/null' EXIT
demo() {
    # The name of the machine has no address here, as in many containers.
    unshare --uts sh -c 'hostname no-such-host && exec buildah run "$1" -- /app/docker/entrypoint.sh \
        python jobs/rebuild_corpus.py --config conf/demo.toml' demo "$container"
}
demo
demo 2>&1 | tee "$work/second.log"
grep -q "no table has changed" "$work/second.log"

[ -n "$gpu" ] || exit 0
build semantic-pivots-gpu docker/gpu.Dockerfile
buildah rm "$container" >/dev/null
container=$(buildah from semantic-pivots-gpu)
buildah run "$container" -- python -c '
import importlib, pkgutil, jobs.gpu
names = [module.name for module in pkgutil.walk_packages(jobs.gpu.__path__, "jobs.gpu.")]
print(len([importlib.import_module(name) for name in names]), "modules of jobs.gpu are imported")'
