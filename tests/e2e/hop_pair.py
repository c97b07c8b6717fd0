"""Two services with one hop between them, with and without the settings that keep its connections open.

PLAIN says whether the hop is BentoML's as it comes.
"""

from __future__ import annotations

import os

import bentoml

from service import KEEP_CONNECTIONS

_QUIET = {"tracing": {"excluded_urls": [".*"]}, "logging": {"access": {"enabled": False}}}
_KEPT = {} if os.environ.get("PLAIN") else {"runner_connection": KEEP_CONNECTIONS}


@bentoml.service(name="Behind", workers=1, **_QUIET, **_KEPT)
class Behind:
    """Gives back what it gets."""

    @bentoml.api
    async def echo(self, number: int) -> int:
        return number


@bentoml.service(name="Before", **_QUIET)
class Before:
    """Asks it."""

    behind = bentoml.depends(Behind)

    @bentoml.api
    async def ask(self, number: int) -> int:
        return int(await self.behind.to_async.echo(number=number))
