"""Load one URL over loopback and measure it: with wrk, or in its absence with a small asyncio generator."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

import aiohttp
import httpx
import numpy as np

PLACE = "@@NUMBER@@"
_PATIENCE = 60.0  # seconds that one answer may take, more than the slowest peer's queue of 32
_NUMBERS = itertools.count(1)
_PER_RUN = 10_000_000  # more than any run sends, so that no two runs of a process send the same number


@dataclass(frozen=True)
class Request:
    """What is sent, over and over: a POST of `body`, or a GET when there is none.

    Where the body has PLACE, every request carries another number, so that no two are the same; or, where `among` is
    given, the next of so many numbers from 0 on.
    """

    url: str
    body: str | None = None
    among: int | None = None

    def numbered(self, number: int) -> str | None:
        """The body of one request."""
        chosen = number if self.among is None else number % self.among
        return self.body if self.body is None else self.body.replace(PLACE, str(chosen))


@dataclass(frozen=True)
class Measured:
    """One run: good answers a second, latency percentiles in milliseconds, answers that were not good."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    generator: str = field(default="wrk")


def generator() -> str:
    """Name the load generator that this machine has."""
    if shutil.which("wrk"):
        return "wrk"
    return "asyncio and aiohttp, which itself takes CPU time from the servers: `apt-get install wrk` for real figures"


def measure(request: Request, connections: int, seconds: float) -> Measured:
    """Keep `connections` requests in flight for so many seconds and measure the answers.

    Requests under way at the end are not counted, as wrk does it.
    """
    first = next(_NUMBERS) * _PER_RUN
    if shutil.which("wrk"):
        return _with_wrk(request, connections, seconds, first)
    return asyncio.run(_with_asyncio(request, connections, seconds, first))


def ask(request: Request) -> httpx.Response:
    """Send one request and give its good answer.

    A server that works through requests that nobody waits for any longer answers when it is through with
    them, so this also waits for a quiet server. Raises RuntimeError when no good answer comes.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        answer = _send(request)
        if answer.status_code == 200:
            return answer
        if time.monotonic() > deadline or answer.status_code < 500:
            raise RuntimeError(f"{request.url} answered {answer.status_code}: {answer.text[:500]}")
        time.sleep(0.5)


def _send(request: Request) -> httpx.Response:
    if request.body is None:
        return httpx.get(request.url, timeout=_PATIENCE, trust_env=False)
    body, headers = request.numbered(next(_NUMBERS) * _PER_RUN), {"Content-Type": "application/json"}
    return httpx.post(request.url, content=body, headers=headers, timeout=_PATIENCE, trust_env=False)


def _with_wrk(request: Request, connections: int, seconds: float, first: int) -> Measured:
    """Run wrk with one thread, which is plenty for what it loads here."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as script:
        script.write(lua_script(request, first))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", f"--timeout={_PATIENCE:g}s"]
        done = subprocess.run(
            [*command, "-s", script.name, request.url], check=True, capture_output=True, text=True, timeout=300
        )
    return parse_wrk(done.stdout)


def lua_script(request: Request, first: int) -> str:
    """Write the script that makes wrk send the request and end with a line of JSON."""
    if request.body is None:
        return _LUA_DONE
    pieces = ", ".join(_lua_string(piece) for piece in request.body.split(PLACE))
    chosen = "number" if request.among is None else f"number % {request.among}"
    return _LUA_POST.replace("FIRST", str(first)).replace("PIECES", pieces).replace("CHOSEN", chosen) + _LUA_DONE


def _lua_string(text: str) -> str:
    """Quote a text for Lua; JSON in ASCII needs the backslash and the quote escaped, no more."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def parse_wrk(output: str) -> Measured:
    """Read the figures out of the last line that our script makes wrk print."""
    figures = json.loads(output.strip().splitlines()[-1])
    good = figures["requests"] - figures["status_errors"]
    return Measured(
        per_second=good / (figures["duration_us"] / 1e6),
        p50_ms=figures["p50_us"] / 1e3,
        p99_ms=figures["p99_us"] / 1e3,
        errors=figures["status_errors"] + figures["socket_errors"],
    )


async def _with_asyncio(request: Request, connections: int, seconds: float, first: int) -> Measured:
    """Do in Python what wrk does: one loop a connection, until the time is over."""
    numbers = itertools.count(first)
    latencies: list[float] = []
    errors = 0

    async def keep_asking(session: aiohttp.ClientSession, method: str) -> None:
        nonlocal errors
        while True:
            sent = time.perf_counter()
            try:
                async with session.request(method, request.url, data=request.numbered(next(numbers))) as answer:
                    await answer.read()
                    good = answer.status == 200
            except aiohttp.ClientError:
                good = False
            if good:
                latencies.append(time.perf_counter() - sent)
            else:
                errors += 1

    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    headers = {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        method = "GET" if request.body is None else "POST"
        askers = [asyncio.create_task(keep_asking(session, method)) for _ in range(connections)]
        await asyncio.wait(askers, timeout=seconds)
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)
    p50, p99 = np.percentile(latencies, (50, 99)) * 1e3 if latencies else (float("nan"), float("nan"))
    return Measured(len(latencies) / seconds, float(p50), float(p99), errors, generator="asyncio")


_LUA_POST = """\
local pieces = {PIECES}
local number = FIRST
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  number = number + 1
  return wrk.format(nil, nil, nil, table.concat(pieces, string.format("%d", CHOSEN)))
end
"""
_LUA_DONE = """\
function done(summary, latency, requests)
  local bad = summary.errors
  io.write(string.format(
    '{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "status_errors": %d, "socket_errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    bad.status, bad.connect + bad.read + bad.write + bad.timeout))
end
"""
