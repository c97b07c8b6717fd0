"""Make the stack's secrets, each in a file of its own, where they are not made yet.

Needs nothing but Python. The folder is for its owner alone; the files in it can be read by whoever a container runs as,
since compose mounts them one by one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

S3_ACCESS_KEY = "mlflow:server"  # account and user, as the store's tempauth has them


def main() -> int:
    """Make what is missing in the folder that is named."""
    folder = Path(sys.argv[1])
    if (folder / "forecast" / "keys.json").exists():
        return 0
    make(folder)
    print(f"made secrets in {folder}")
    return 0


def make(folder: Path) -> None:
    """Make all of them; the keys last, whose file says that nothing is missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = _random(folder / "postgres_password")
    _write(folder / "pgpass", f"*:*:*:mlflow:{password}\n")
    s3_key = _random(folder / "s3_secret_key")
    _write(
        folder / "s3_credentials",
        f"[default]\naws_access_key_id = {S3_ACCESS_KEY}\naws_secret_access_key = {s3_key}\n",
    )
    api, api_key = _key("backend", segments=["*"], inline=True, metrics=False)
    prometheus, metrics_key = _key("prometheus", segments=[], inline=False, metrics=True)
    _write(folder / "api_key", api_key)
    _write(folder / "metrics_key", metrics_key)
    keys = folder / "forecast" / "keys.json"
    keys.parent.mkdir(mode=0o755, exist_ok=True)
    _write(keys, json.dumps({"keys": [api, prometheus]}, indent=2) + "\n")


def _random(path: Path) -> str:
    """A secret of 192 bits, or the one that is there: a store that was made with it knows no other."""
    if path.exists():
        return path.read_text()
    text = secrets.token_hex(24)
    _write(path, text)
    return text


def _key(name: str, *, segments: list[str], inline: bool, metrics: bool) -> tuple[dict[str, object], str]:
    """What the service keeps of an API key, and the key, as `prophetctl keys create` makes them."""
    key_id = secrets.token_hex(6)
    key = f"fk_{key_id}_{secrets.token_hex(24)}"
    kept = {
        "id": key_id,
        "name": name,
        "sha256": hashlib.sha256(key.encode()).hexdigest(),
        "segments": segments,
        "inline": inline,
        "metrics": metrics,
        "created": datetime.now(UTC).replace(microsecond=0).isoformat(),
    }
    return kept, key


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)


if __name__ == "__main__":
    sys.exit(main())
