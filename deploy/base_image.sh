#!/bin/sh
# See that docker or podman has python:3.11-slim, the base of our images. Where no image registry can be reached it is made
# from Debian's packages, as root, and its layer kept in a cache folder; else it is pulled, as a build would do by itself.
set -eu
engine=$("$(dirname "$0")/engine.sh")
if [ "$engine" = docker ]; then
    pull="docker pull --quiet" import="docker import"
else
    pull="podman pull --quiet --retry 0" import="podman import --quiet"
fi
image=docker.io/library/python:3.11-slim
cache=${PROPHET_SERVING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/prophet-serving}
layer=$cache/base-image.tar

here() { "$engine" image inspect "$image" >/dev/null 2>&1; }
here && exit 0
mkdir -p "$cache"
exec 9>"$cache/base-image.lock"
flock 9 # whoever else wants it at the same time waits, and finds it made
here && exit 0
if [ ! -f "$layer" ]; then
    $pull "$image" 2>/dev/null && exit 0
    echo "no image registry can be reached: making $image from Debian's packages"
    root=$(mktemp -d)
    trap 'rm -rf "$root" "$layer.part"' EXIT
    mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
    debootstrap --variant=minbase --include=python3.11,python3-pip,python3.11-venv,ca-certificates \
        bookworm "$root" "${mirror:-http://deb.debian.org/debian}" >"$cache/debootstrap.log" 2>&1 ||
        { tail -n 20 "$cache/debootstrap.log"; exit 1; }
    # Whom this machine trusts, the image trusts: pip may have to go through a proxy of a company's own.
    cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null 2>&1
    rm -f "$root"/usr/lib/python3.11/EXTERNALLY-MANAGED "$root"/var/cache/apt/archives/*.deb
    rm -rf "$root"/var/lib/apt/lists/*
    ln -sf python3.11 "$root/usr/bin/python"
    ln -sf python3.11 "$root/usr/bin/python3"
    tar -C "$root" -cf "$layer.part" .
    mv "$layer.part" "$layer"
fi
# Debian's Python and uv look for certificates in different places; this names one for all.
$import --change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' "$layer" "$image" >/dev/null
