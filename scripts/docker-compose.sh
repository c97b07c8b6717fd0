#!/bin/sh
# Put docker-compose, Debian trixie's, into the folder that is named: for machines without docker that check the stack's files.
set -eu
mkdir -p "$1"
target=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} trixie main" >"$work/sources.list"
mkdir -p "$work/lists/partial" "$work/archives/partial"
cd "$work"
# Lists of its own: nothing else on this machine may come to be of another release.
apt() {
    apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work" -o APT::Sandbox::User=root "$@"
}
apt update
apt download docker-compose
dpkg -x docker-compose_*.deb root
install -m 0755 root/usr/libexec/docker/cli-plugins/docker-compose "$target/docker-compose"
