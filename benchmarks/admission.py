"""What it costs to be let in, and whether the time taken tells an attacker anything.

Run it with `make bench-admission`. Calls of all kinds are mixed at random and timed one by one, so that whatever
else the machine does falls on all alike. Two kinds whose times nobody can tell apart have a *separation* of 0.5: the
chance that a call of the one took longer than a call of the other.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jwt
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from scipy.stats import rankdata

from benchmarks.frame import Row, compare, options, report, table
from serving.gate import Gate
from serving.keys import KeyRing, create_key
from serving.settings import Settings

SECRET = "a secret of at least thirty-two bytes"
ISSUER = "https://project.supabase.test/auth/v1"
KEYS = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Time wrong keys beside each other, and admissions beside a slow hash; gives the exit code."""
    given = options("Time API keys and tokens.", arguments)
    calls = 2_000 if given.quick else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        credential = _fill(path)
        separations = _separations(KeyRing(path), credential, calls)
        rows = _costs(path, credential, calls // 10)
    print(f"\n{table(('kinds', 'median ns', 'median ns', 'separation', 'of chance alone'), separations)}")
    return report("admission", rows, given)


def _fill(path: Path) -> str:
    """A file of many keys, and one of them."""
    key, credential = create_key(path, "one", ("user_42_*",))
    others = [
        key.model_copy(update={"id": f"{number:012x}", "sha256": hashlib.sha256(str(number).encode()).hexdigest()})
        for number in range(KEYS - 1)
    ]
    path.write_text(f'{{"keys": [{", ".join(kept.model_dump_json() for kept in (key, *others))}]}}')
    return credential


def _separations(ring: KeyRing, credential: str, calls: int) -> list[tuple[str, ...]]:
    """How well pairs of kinds can be told apart by their time, and how well two halves of one kind can."""
    _, key_id, secret = credential.split("_")
    hexadecimal = "0123456789abcdef"
    rng = random.Random(7)

    def other(text: str) -> str:
        return "".join(rng.choices(hexadecimal, k=len(text)))

    makers: dict[str, Callable[[], str]] = {
        "unknown id": lambda: f"fk_{other(key_id)}_{other(secret)}",
        "right id, wrong secret": lambda: f"fk_{key_id}_{other(secret)}",
        "right id, secret half right": lambda: f"fk_{key_id}_{secret[:24]}{other(secret[24:])}",
    }
    kinds = [kind for kind in makers for _ in range(calls)]
    rng.shuffle(kinds)
    tries = [makers[kind]() for kind in kinds]
    seconds = np.empty(len(tries))
    for place, text in enumerate(tries):
        started = time.perf_counter_ns()
        ring.find(text)
        seconds[place] = time.perf_counter_ns() - started
    taken = {kind: seconds[np.array(kinds) == kind] for kind in makers}
    lines = []
    for one, two in (
        ("unknown id", "right id, wrong secret"),
        ("right id, wrong secret", "right id, secret half right"),
    ):
        chance = max(abs(_separation(taken[kind][::2], taken[kind][1::2]) - 0.5) for kind in (one, two))
        medians = (f"{np.median(taken[one]):.0f}", f"{np.median(taken[two]):.0f}")
        lines.append((f"{one} / {two}", *medians, f"{_separation(taken[one], taken[two]):.4f}", f"0.5 +- {chance:.4f}"))
    return lines


def _separation(one: np.ndarray, other: np.ndarray) -> float:
    """The chance that a figure of `one` is larger than a figure of `other`, ties counting half."""
    ranks = rankdata(np.concatenate([one, other]))[: one.size]
    return float((ranks.sum() - one.size * (one.size + 1) / 2) / (one.size * other.size))


def _costs(path: Path, credential: str, calls: int) -> list[Row]:
    """Microseconds of one admission, beside what a hash that is meant for passwords takes."""
    gate = Gate(Settings(keys_file=path, jwt_issuer=ISSUER, jwt_secret=SECRET))
    claims = {"iss": ISSUER, "aud": "authenticated", "exp": int(time.time()) + 3600}
    tokens = [jwt.encode({**claims, "sub": str(number)}, SECRET) for number in range(min(calls, 2_000))]
    elliptic = ec.generate_private_key(ec.SECP256R1())
    signed = jwt.encode({**claims, "sub": "1"}, elliptic, "ES256")
    slow = _microseconds(lambda: hashlib.scrypt(b"secret", salt=b"salt", n=2**14, r=8, p=1), 5)
    return [
        compare(name, "us", ours=ours, peer="a key kept with scrypt", theirs=slow, better="less")
        for name, ours in (
            ("an API key", _admissions(gate, [credential] * calls)),
            ("a token seen before", _admissions(gate, [tokens[0]] * calls)),
            ("a new token, HS256", _admissions(gate, tokens[1:])),
            (
                "a new token, ES256 (verification alone)",
                _microseconds(
                    lambda: jwt.decode(signed, elliptic.public_key(), ["ES256"], audience="authenticated"), 300
                ),
            ),
        )
    ]


def _admissions(gate: Gate, credentials: Sequence[str]) -> float:
    """Microseconds of the median admission."""
    scopes = [
        {"headers": [(b"host", b"h"), (b"accept", b"*/*"), (b"authorization", f"Bearer {text}".encode())]}
        for text in credentials
    ]

    async def all_of_them() -> list[int]:
        taken = []
        for scope in scopes:
            started = time.perf_counter_ns()
            await gate.admit(scope)
            taken.append(time.perf_counter_ns() - started)
        return taken

    return float(np.median(asyncio.run(all_of_them()))) / 1e3


def _microseconds(call: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - started)
    return float(np.median(taken)) / 1e3


if __name__ == "__main__":
    sys.exit(main())
