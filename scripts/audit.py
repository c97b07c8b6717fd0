"""Ask whether a locked package has a known vulnerability: `make audit`.

pip-audit says "no known vulnerabilities" and exits with 0 where the service that knows them answers for no package at
all, as behind a mirror of the package index alone. So it is asked first about a release whose vulnerability has been
public for years; where it finds nothing wrong with that one, nothing was audited, and this says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

CANARY = "pyjwt==2.3.0"  # CVE-2022-29217
ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements/serve.txt", "requirements/train.txt")


def main() -> int:
    """1 for a vulnerability or a package that nobody could audit; 0 where all is well, or nothing answers."""
    if not _knows_the_canary():
        print(f"\n*** NOT AUDITED: no service of vulnerabilities answers here; it knows nothing of {CANARY} ***\n")
        return 0
    return max(_audit(ROOT / lock, "--strict", "--require-hashes").returncode for lock in LOCKS)


def _knows_the_canary() -> bool:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(f"{CANARY}\n")
        file.flush()
        done = _audit(Path(file.name), "--no-deps", "--format", "json", capture=True)
    try:
        return any(package.get("vulns") for package in json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError):
        print(done.stderr.strip()[-500:])
        return False


def _audit(lock: Path, *options: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Audit the packages of a lock file as they are named there, installing none."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner", "off", *options]
    return subprocess.run([*command, "--requirement", str(lock)], capture_output=capture, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
