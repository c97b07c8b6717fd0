"""What we ask of uvicorn's connections beyond its own settings."""

from __future__ import annotations

import asyncio
import socket

import pytest
from uvicorn import Config, Server

from serving.wire import KEEP_ALIVE_SECONDS, BoundedProtocol


async def _app(_scope: object, _receive: object, _send: object) -> None:
    """Nobody asks it anything."""


@pytest.mark.parametrize(("asked", "kept"), [(5, KEEP_ALIVE_SECONDS), (300, 300)])
def test_an_idle_connection_outlives_a_load_balancers(asked: int, kept: int) -> None:
    """Whatever started the service: by default `bentoml serve` keeps one for 5 seconds, load balancers for 60."""

    async def connect() -> float:
        config = Config(_app, http=BoundedProtocol, timeout_keep_alive=asked, lifespan="off", log_config=None)
        server = Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            _, writer = await asyncio.open_connection(*listening.getsockname())
            while not server.server_state.connections:
                await asyncio.sleep(0.01)
            (protocol,) = server.server_state.connections
            writer.close()
            server.should_exit = True
            await serving
        return float(protocol.timeout_keep_alive)

    assert asyncio.run(connect()) == kept > 60
