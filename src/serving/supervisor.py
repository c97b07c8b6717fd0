"""What the process above the workers has to be told: BentoML leaves all of it to circus.

Called in that process, before it makes workers. docs/decisions/0018-supervisor.md says what went wrong without.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

FRONT = "service"  # BentoML's name for the workers that speak HTTP; the others are services that these depend on

_FRONT_SECONDS = 7.0  # for the requests that are under way
_REST_SECONDS = 2.0  # for what nobody waits for any more
_AGAIN_SECONDS = 0.05
_LOOK_MS = 1000  # between two looks whether all workers live; BentoML asks for ten seconds


def replace_killed_workers() -> None:
    """Let a worker that was killed be replaced, and soon: what it would have answered waits meanwhile.

    Where this variable says that it runs in an image, BentoML does not; it goes on with the workers that are left,
    and looks healthy.
    """
    from circus.controller import Controller

    os.environ.pop("BENTOML_CONTAINERIZED", None)
    start = Controller.start

    def start_looking(controller: Any) -> None:
        controller.check_delay = _LOOK_MS
        start(controller)

    Controller.start = start_looking


def end_in_order() -> None:
    """Let a signal to stop end the service for sure, within ten seconds, and first the workers that ask others."""
    from circus.sighandler import SysHandler

    SysHandler.quit = _quit


def _quit(handler: Any) -> None:
    """In the place of circus' own, which drops the signal when anything else is being done, such as starting."""
    handler.controller.loop.add_callback_from_signal(_end, handler.controller.arbiter)


async def _end(arbiter: Any) -> None:
    from circus.exc import ConflictError

    for watcher in arbiter.iter_watchers():
        watcher.graceful_timeout = _FRONT_SECONDS if watcher.name == FRONT else _REST_SECONDS  # then it is killed
    while True:
        try:
            arbiter.ctrl.caller.stop()  # it would take workers that ended for workers that were killed
            await arbiter.get_watcher(FRONT).stop()
            await arbiter.stop()
            return
        except ConflictError:
            await asyncio.sleep(_AGAIN_SECONDS)
