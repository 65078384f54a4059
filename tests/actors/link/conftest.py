"""Two ends of a byte link, over Unix sockets and TLS, in both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from actors.cluster_ca import ClusterCa
from actors.link import Link
from actors.link_server import serve
from actors.link_tls import NodeTls
from tests.waiting import PATIENCE_S

Where = tuple[str, NodeTls | None, NodeTls | None]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Ray's actors run uvloop; commands and the other tests asyncio's own."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def ca() -> ClusterCa:
    return ClusterCa.create()


@pytest.fixture(params=["unix", "tls"])
def where(request: pytest.FixtureRequest, tmp_path: Path, ca: ClusterCa) -> Where:
    """An address to serve at, with the certificates of both sides."""
    if request.param == "unix":
        return f"unix:{tmp_path / 'w.sock'}", None, None
    return "tls:127.0.0.1:0", NodeTls(ca.issue("near")), NodeTls(ca.issue("far"))


@pytest.fixture
async def pair(where: Where) -> AsyncIterator[tuple[Link, Link]]:
    """Two ends of one link."""
    address, near_tls, far_tls = where
    made: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    async def on_link(link: Link) -> None:
        made.set_result(link)

    server = await serve(address, on_link, far_tls)
    near = await Link.connect(server.address, PATIENCE_S, near_tls)
    far = await made
    yield near, far
    await near.close()
    await far.close()
    server.close()
