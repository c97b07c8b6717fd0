"""Run Swift's servers as one: when one ends, all do, and the container is started again.

The secret key is a mounted file; the address to listen on is $STORE_HOST. Only the proxy, which speaks S3, is for
others; the three servers behind it listen on loopback and ask for no key.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

KEPT = Path("/srv/node")
DISKS = KEPT / "disks"
CONFIG = Path("/etc/swift")
SECRET_KEY = Path("/run/secrets/s3_secret_key")
BEHIND = {"account": 6202, "container": 6201, "object": 6200}
COMMON = "user = store\nworkers = 0\nlog_level = WARNING\n"

SERVER = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
devices = {disks}
mount_check = false
{common}
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[{kind}-updater]
recon_cache_path = /tmp
interval = 30
"""

# The updaters bring listings up to date that a killed server left behind.
UPDATERS = ("object", "container")

PROXY = """[DEFAULT]
bind_ip = {host}
bind_port = 8333
{common}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_mlflow_server = {key} .admin
[filter:slo]
use = egg:swift#slo
"""


def main() -> int:
    """Start them, and stop them all at SIGTERM or when one ends."""
    configure()
    commands = [[f"swift-{kind}-server", str(CONFIG / f"{kind}.conf")] for kind in BEHIND]
    commands += [[f"swift-{kind}-updater", str(CONFIG / f"{kind}.conf")] for kind in UPDATERS]
    commands += [["swift-proxy-server", str(CONFIG / "proxy.conf")]]
    running = [subprocess.Popen([*command, "--verbose"]) for command in commands]
    asked_to_stop = []
    signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.append(True))
    while not asked_to_stop and all(process.poll() is None for process in running):
        time.sleep(0.2)
    for process in running:
        process.terminate()
    for process in running:
        process.wait()
    return 0 if asked_to_stop else 1


def configure() -> None:
    """Write Swift's configuration, with the rings of the image and the secrets of this store."""
    (DISKS / "disk").mkdir(parents=True, exist_ok=True)
    folder = CONFIG.readlink()
    folder.mkdir(mode=0o700, exist_ok=True)
    for ring in Path("/app/rings").glob("*.ring.gz"):
        shutil.copy(ring, folder)
    (folder / "swift.conf").write_text(f"[swift-hash]\nswift_hash_path_suffix = {_suffix()}\n")
    for kind, port in BEHIND.items():
        text = SERVER.format(kind=kind, port=port, disks=DISKS, common=COMMON)
        (folder / f"{kind}.conf").write_text(text)
    key = SECRET_KEY.read_text().strip()
    (folder / "proxy.conf").write_text(PROXY.format(host=os.environ["STORE_HOST"], key=key, common=COMMON))


def _suffix() -> str:
    """What goes into the names of all that is kept: random, and the same as long as the disk is."""
    path = KEPT / "hash_suffix"
    if not path.exists():
        aside = path.with_suffix(".new")
        aside.write_text(secrets.token_hex(16))
        aside.replace(path)
    return path.read_text()


if __name__ == "__main__":
    sys.exit(main())
