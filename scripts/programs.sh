#!/bin/sh
# Put programs that check what deploys into the folder that is named: this Debian's prometheus and promtool, and trixie's
# docker-compose and kustomize, which bookworm has not. Nothing is installed, and no service is started.
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
trixie() {
    apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work" -o APT::Sandbox::User=root "$@"
}
trixie update
trixie download docker-compose kustomize
apt-get -qq -o APT::Sandbox::User=root download prometheus
for package in *.deb; do dpkg -x "$package" root; done
for program in libexec/docker/cli-plugins/docker-compose bin/kustomize bin/prometheus bin/promtool; do
    install -m 0755 "root/usr/$program" "$target/"
done
