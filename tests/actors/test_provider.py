"""The provider's socket against a real WebSocket server that reads when it is told to."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.server import serve

from actors import provider as provider_module
from actors.provider import MAX_WAITING_EVENTS, ProviderRefused, ProviderSocket
from reception.provider.base import DialPlan
from tests.waiting import patience

BIG = "x" * 60_000


class Provider:
    """Keeps what it reads, once it may."""

    url: str

    def __init__(self):
        self.reads = asyncio.Event()
        self.got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.connection = asyncio.get_running_loop().create_future()

    async def session(self, connection):
        self.connection.set_result(connection)
        await self.reads.wait()
        async for raw in connection:
            await self.got.put(json.loads(raw))

    async def next(self):
        async with patience():
            return await self.got.get()


@pytest.fixture
async def provider():
    provider = Provider()
    server = await serve(provider.session, "127.0.0.1", 0, max_queue=1, close_timeout=1)
    provider.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1"
    yield provider
    provider.reads.set()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def socket(provider):
    socket = await ProviderSocket.dial(
        DialPlan("embedded", provider.url, "m", "pcmu", ('{"n":-1}',))
    )
    yield socket
    await socket.close()


def message(number, fill=""):
    return json.dumps({"n": number, "fill": fill})


async def fill(socket):
    """Fills the socket until something waits; how many events that took."""
    count = 0
    while not socket._waiting:
        socket.send(message(count, BIG))
        count += 1
        await asyncio.sleep(0)
    return count


async def test_what_is_sent_leaves_at_once_and_in_order(provider, socket):
    provider.reads.set()
    for number in range(0, 20, 2):
        socket.send(message(number))
        socket.send_audio(message(number + 1))
    assert socket._draining is None
    assert [(await provider.next())["n"] for _ in range(21)] == list(range(-1, 20))


async def test_sound_is_not_deflated(provider, socket):
    assert (await provider.connection).protocol.extensions == []


async def test_while_the_provider_does_not_read_the_oldest_audio_goes_and_events_stay(
    provider, socket, monkeypatch
):
    events = await fill(socket)
    kept = provider_module.MAX_WAITING_AUDIO
    for number in range(kept + 50):
        socket.send_audio(message(number))
        if number % 10 == 0:
            socket.send(message(events))
            events += 1
    assert socket.dropped_audio == 50
    provider.reads.set()
    got = [await provider.next() for _ in range(1 + events + kept)]
    numbers = [each["n"] for each in got]
    audio = list(range(50, kept + 50))
    assert sorted(numbers) == sorted([*range(-1, events), *audio])
    assert numbers[-1] == kept + 49
    async with patience():
        while socket._draining is not None:
            await asyncio.sleep(0.001)
    socket.send_audio(message(7))  # at once again
    assert socket._draining is None
    assert (await provider.next())["n"] == 7


async def test_a_provider_that_lets_events_pile_up_is_cut_off(socket):
    await fill(socket)
    for number in range(MAX_WAITING_EVENTS + 1):
        socket.send(message(number))
    async with patience():
        assert await socket.receive() is None
    assert socket.close_code == 1006
    socket.send(message(0))  # into the void, without an error
    socket.send_audio(message(0))


async def test_a_socket_that_closes_while_something_waits_gives_it_up(provider, socket):
    await fill(socket)
    (await provider.connection).transport.abort()
    async with patience():
        assert await socket.receive() is None
        while socket._draining is not None:
            await asyncio.sleep(0.001)
    assert not socket._waiting


async def test_closing_does_not_wait_for_a_provider_that_does_not_read(socket, monkeypatch):
    monkeypatch.setattr(provider_module, "_CLOSE_TIMEOUT_S", 0.05)
    await fill(socket)
    async with patience():
        await socket.close()
        assert await socket.receive() is None


async def test_what_comes_is_given_as_it_is(provider, socket):
    connection = await provider.connection
    await connection.send('{"type":"ü"}')
    assert await socket.receive() == '{"type":"ü"}'.encode()
    provider.reads.set()
    await connection.close(1013, "later")
    assert await socket.receive() is None
    assert (socket.close_code, socket.close_reason) == (1013, "later")


async def test_a_refused_dial_says_the_status():
    async def refuse(connection, request):
        return connection.respond(429, "slow down")

    async def never(connection):
        raise AssertionError

    server = await serve(never, "127.0.0.1", 0, process_request=refuse)
    port = next(iter(server.sockets)).getsockname()[1]
    with pytest.raises(ProviderRefused, match="HTTP 429") as caught:
        await ProviderSocket.dial(DialPlan("embedded", f"http://127.0.0.1:{port}/v1", "m", "pcmu"))
    assert caught.value.code == 429
    server.close()
    await server.wait_closed()
