"""Peers that freeze, vanish or are only busy, on real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors import link as link_module
from actors.link import Link
from actors.link_server import serve
from actors.pulse import Pulse
from protos.link.v1 import link_pb2 as lk
from reception.framing import FrameReader, Kind
from tests.actors.link.conftest import Where
from tests.waiting import PATIENCE_S, Awake, patience

DEAD_AFTER_S = 0.4
GONE = lk.DoorToWorker(leg_gone=lk.LegGone(reason="caller_hangup"))

PEER = """
import asyncio, sys
from actors.link_server import serve

async def main():
    async def on_link(link):
        await link.receive()
    server = await serve(sys.argv[1], on_link)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
async def quick() -> None:
    """A heart that beats five times as fast."""
    Pulse.configure(DEAD_AFTER_S)


async def the_end(link: Link) -> float:
    """Seconds until a link's end is told, but for those in which this process stood still."""
    awake, ended = Awake(), asyncio.Event()
    link.handle(lambda kind, body: None, ended.set)
    async with patience():
        await ended.wait()
    awake.stop()
    return awake.seconds


async def answering(path: str) -> Link:
    """A link whose peer was asked for a sign of life, and has answered."""
    async with patience():
        while True:
            link = await Link.connect(path, PATIENCE_S)
            asked = False
            while not link.ended:  # its process may stand still for longer than the bound
                asked = asked or link.beats >= 2
                if asked and not link.beats:
                    return link
                await asyncio.sleep(0.002)
            await link.close()


async def test_a_frozen_process_is_noticed_within_the_bound(tmp_path: Path) -> None:
    path = str(tmp_path / "w.sock")
    peer = subprocess.Popen([sys.executable, "-c", PEER, path], stdout=subprocess.PIPE)
    try:
        assert peer.stdout is not None
        assert await asyncio.to_thread(peer.stdout.readline) == b"ready\n"
        link = await answering(path)
        os.kill(peer.pid, signal.SIGSTOP)
        silent_s = await the_end(link)
        assert link.end_reason == "silent"
        assert silent_s < 5 * DEAD_AFTER_S  # one bound, and what a busy machine adds
    finally:
        peer.kill()
        peer.wait()
        assert peer.stdout is not None
        peer.stdout.close()


async def test_a_peer_with_nothing_to_say_lives_on(pair: tuple[Link, Link]) -> None:
    near, far = pair
    pings = 0
    write = near._write

    def counted(frame: bytes) -> None:
        nonlocal pings
        pings += [kind for kind, _ in FrameReader().feed(frame)] == [Kind.PING]
        write(frame)

    near._write = counted
    async with patience():
        while pings < 4:
            await asyncio.sleep(0.002)
    assert (near.ended, far.ended) == (False, False)
    assert not near._inbox
    assert not far._inbox


async def test_a_half_open_tcp_connection_is_noticed(where: Where) -> None:
    """A peer's kernel acknowledges what is sent and nobody reads it."""
    address, near_tls, far_tls = where
    made: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    async def on_link(link: Link) -> None:
        made.set_result(link)

    server = await serve(address, on_link, far_tls)
    near = await Link.connect(server.address, PATIENCE_S, near_tls)
    far = await made
    far._pulse.forget(far)
    far._transport.pause_reading()  # type: ignore[union-attr]  # it is connected
    near.send(GONE)
    await the_end(near)
    assert near.end_reason == "silent"
    far.abort()
    server.close()


async def test_a_busy_peer_that_does_not_read_is_not_dead_and_says_so(
    pair: tuple[Link, Link],
) -> None:
    near, far = pair
    for _ in range(link_module.MAX_INBOX):
        near.send(GONE)
    async with patience():
        while not far._reading_paused:
            await asyncio.sleep(0.002)
    asked, give_up = [], far.give_up

    def gives_up() -> None:
        asked.append(near.ended)
        give_up()

    far.give_up = gives_up  # type: ignore[method-assign]  # the test listens in
    async with patience():
        while len(asked) < 3:
            await asyncio.sleep(0.002)
    assert not any(asked)
    assert (near.ended, far.ended) == (False, False)


async def test_who_was_held_up_itself_gives_nobody_up(pair: tuple[Link, Link]) -> None:
    near, far = pair
    beats = near.beats
    for _ in range(2):
        time.sleep(2 * DEAD_AFTER_S)  # the whole process stands still
        for _ in range(3):
            await asyncio.sleep(0.002)
    assert (near.ended, far.ended) == (False, False)
    assert near.beats <= beats + 1


async def test_one_timer_serves_all_links_and_ends_with_the_last(tmp_path: Path) -> None:
    taken: list[Link] = []

    async def on_link(link: Link) -> None:
        taken.append(link)

    server = await serve(str(tmp_path / "w.sock"), on_link)
    links = [await Link.connect(server.address, PATIENCE_S) for _ in range(5)]
    pulse = Pulse.of_loop()
    async with patience():
        while len(taken) < 5:
            await asyncio.sleep(0.002)
    assert len(pulse._peers) == 10
    timer = pulse._timer
    assert timer is not None
    for link in (*links, *taken):
        await link.close()
    assert not pulse._peers
    assert pulse._timer is None
    assert timer.cancelled()
    server.close()
