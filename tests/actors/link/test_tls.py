"""Who is taken over TLS between nodes, who is refused, and that nothing hangs."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from actors import link_server
from actors.cluster_ca import ClusterCa
from actors.link import Link
from actors.link_server import LinkServer, serve
from actors.link_tls import NodeTls
from protos.link.v1 import link_pb2 as lk
from reception.errors import InvalidRequest, Unavailable
from reception.framing import Kind, split_audio
from tests.waiting import PATIENCE_S, patience

GONE = lk.DoorToWorker(leg_gone=lk.LegGone(reason="caller_hangup"))


class Door:
    """A server that keeps the links made to it."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.server: LinkServer

    async def on_link(self, link: Link) -> None:
        self.links.append(link)
        link.send(GONE)

    async def refusals(self, count: int) -> None:
        async with patience():
            while self.server.refused < count:
                await asyncio.sleep(0)
        assert self.server.refused == count
        assert self.links == []


@pytest.fixture
async def door(ca: ClusterCa) -> AsyncIterator[Door]:
    door = Door()
    door.server = await serve("tls:127.0.0.1:0", door.on_link, NodeTls(ca.issue("door")))
    yield door
    door.server.close()
    for link in door.links:
        await link.close()


def host_port(door: Door) -> tuple[str, int]:
    _, host, port = door.server.address.split(":")
    return host, int(port)


async def test_both_sides_know_each_others_node(door: Door, ca: ClusterCa) -> None:
    link = await Link.connect(door.server.address, PATIENCE_S, NodeTls(ca.issue("worker-7")))
    frame = await link.receive()
    assert frame is not None
    assert frame[0] is Kind.CONTROL
    assert link.peer_node_id == "door"
    assert door.links[0].peer_node_id == "worker-7"
    assert door.server.refused == 0
    await link.close()


async def test_stamps_of_a_node_that_started_at_another_time_are_moved(
    door: Door, ca: ClusterCa
) -> None:
    """The far end's clock is a day ahead, as another machine's would be."""
    day_ns = 86_400 * 10**9
    link = await Link.connect(door.server.address, PATIENCE_S, NodeTls(ca.issue("worker")))
    ahead = link._peer_clock
    async with patience():
        while ahead._ahead_ns is None:
            await asyncio.sleep(0.001)
    ahead._ahead_ns += day_ns
    sent_ns = time.monotonic_ns()
    door.links[0].send_audio(sent_ns + day_ns, b"x")
    await link.receive()  # the greeting
    frame = await link.receive()
    assert frame is not None
    stamp_ns, message = split_audio(frame[1])
    assert message == b"x"
    assert abs(stamp_ns - sent_ns) < PATIENCE_S * 1e9
    await link.close()


async def test_a_link_on_a_node_has_no_peer_node(tmp_path) -> None:
    server = await serve(str(tmp_path / "w.sock"), Door().on_link)
    link = await Link.connect(server.address, PATIENCE_S)
    assert link.peer_node_id == ""
    await link.close()
    server.close()


async def test_a_node_of_another_ca_refuses_and_is_counted(door: Door) -> None:
    stranger = NodeTls(ClusterCa.create().issue("door"))
    with pytest.raises(Unavailable, match="certificate"):
        await Link.connect(door.server.address, PATIENCE_S, stranger)
    await door.refusals(1)


async def test_a_peer_of_another_ca_is_refused_though_it_believes_ours(
    door: Door, ca: ClusterCa
) -> None:
    stranger = NodeTls(ClusterCa.create().issue("door"))
    stranger.client.load_verify_locations(cadata=ca.ca_pem.decode())
    with pytest.raises(Unavailable, match=r"refused|certificate|unknown ca"):
        await Link.connect(door.server.address, PATIENCE_S, stranger)
    await door.refusals(1)


async def test_a_peer_without_a_certificate_is_refused(door: Door, ca: ClusterCa) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=ca.ca_pem.decode())
    reader, writer = await asyncio.open_connection(*host_port(door), ssl=context)
    with suppress(OSError):  # asyncio says the server's alert, uvloop an end
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.transport.abort()
    await door.refusals(1)


@pytest.mark.parametrize(
    ("begins", "life"), [(timedelta(days=-3), timedelta(days=1)), (timedelta(days=1),) * 2]
)
async def test_a_certificate_out_of_its_time_is_refused(
    door: Door, ca: ClusterCa, begins: timedelta, life: timedelta
) -> None:
    late = NodeTls(ca.issue("late", life, datetime.now(UTC) + begins))
    with pytest.raises(Unavailable):
        await Link.connect(door.server.address, PATIENCE_S, late)
    await door.refusals(1)


async def test_older_tls_and_plain_bytes_are_refused(door: Door, ca: ClusterCa) -> None:
    older = NodeTls(ca.issue("older")).client
    older.minimum_version = ssl.TLSVersion.TLSv1_2
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError, match=r".*"):
        await asyncio.open_connection(*host_port(door), ssl=older)
    await door.refusals(1)
    _, writer = await asyncio.open_connection(*host_port(door))
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await door.refusals(2)
    writer.transport.abort()


async def test_who_says_nothing_is_dropped_at_the_handshakes_deadline(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_server, "HANDSHAKE_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection(*host_port(door))
    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.transport.abort()
    await door.refusals(1)


async def test_more_handshakes_at_once_than_are_allowed_are_refused(
    door: Door, ca: ClusterCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_server, "MAX_HANDSHAKES", 2)
    monkeypatch.setattr(link_server, "HANDSHAKE_TIMEOUT_S", 10 * PATIENCE_S)
    idle = [await asyncio.open_connection(*host_port(door)) for _ in range(2)]
    with pytest.raises(Unavailable):
        await Link.connect(door.server.address, PATIENCE_S, NodeTls(ca.issue("late")))
    await door.refusals(1)
    for _, writer in idle:
        writer.transport.abort()
    await door.refusals(3)
    link = await Link.connect(door.server.address, PATIENCE_S, NodeTls(ca.issue("later")))
    await link.close()


@pytest.mark.parametrize("shakes_hands", [False, True])
async def test_a_server_that_never_says_that_it_took_the_link_is_given_up(
    ca: ClusterCa, shakes_hands: bool
) -> None:
    context = NodeTls(ca.issue("far")).server if shakes_hands else None
    gone = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(mute, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with patience():
        while not gone.is_set():  # where hands were not shaken in time, nobody was there
            with pytest.raises(Unavailable, match=f"no link to 127.0.0.1:{port}"):
                await Link.connect(f"tls:127.0.0.1:{port}", 0.3, NodeTls(ca.issue("near")))
            await asyncio.wait([asyncio.ensure_future(gone.wait())], timeout=1.0)
    server.close()


async def test_a_renewed_certificate_is_shown_from_then_on(door: Door, ca: ClusterCa) -> None:
    tls = NodeTls(ca.issue("before"))
    tls.renew(ca.issue("after"))
    link = await Link.connect(door.server.address, PATIENCE_S, tls)
    assert door.links[0].peer_node_id == "after"
    await link.close()
    with pytest.raises(ValueError, match="another CA"):
        tls.renew(ClusterCa.create().issue("after"))


async def test_tls_needs_a_certificate_at_both_ends(door: Door) -> None:
    with pytest.raises(Unavailable, match="this node has no certificate"):
        await Link.connect(door.server.address, PATIENCE_S)
    with pytest.raises(InvalidRequest, match="needs this node's certificate"):
        await serve("tls:127.0.0.1:0", door.on_link)


async def test_a_closed_server_takes_no_links_and_leaves_those_it_took(
    door: Door, ca: ClusterCa
) -> None:
    link = await Link.connect(door.server.address, PATIENCE_S, NodeTls(ca.issue("near")))
    _, half_open = await asyncio.open_connection(*host_port(door))
    await asyncio.sleep(0)
    door.server.close()
    with pytest.raises(Unavailable):
        await Link.connect(door.server.address, PATIENCE_S, NodeTls(ca.issue("near")))
    link.send(GONE)
    async with patience():
        assert await door.links[0].receive() is not None
    half_open.transport.abort()
    await link.close()


async def test_a_service_that_fails_ends_its_own_link_only(tmp_path) -> None:
    async def on_link(link: Link) -> None:
        frame = await link.receive()
        if frame is not None and frame[0] is Kind.AUDIO:
            raise ZeroDivisionError
        link.send(GONE)

    server = await serve(f"unix:{tmp_path}/w.sock", on_link)
    bad, good = [await Link.connect(server.address, PATIENCE_S) for _ in range(2)]
    bad.send_audio(1, b"x")
    async with patience():
        assert await bad.receive() is None
        good.send(GONE)
        assert await good.receive() is not None
    await good.close()
    server.close()
