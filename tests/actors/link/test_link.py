"""The byte link over real Unix sockets and real TLS, in both event loops."""

import asyncio
import socket
import time

import pytest

from actors import link as link_module
from actors.link import Link
from actors.link_server import serve
from actors.link_tls import NodeTls
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1.reception_pb2 import Audio, CallerMessage, Dtmf
from reception.errors import Unavailable
from reception.framing import Kind, encode, encode_audio, split_audio
from tests.waiting import PATIENCE_S, patience

GONE = lk.DoorToWorker(leg_gone=lk.LegGone(reason="caller_hangup"))


def audio(number, payload):
    return CallerMessage(audio=Audio(payload=payload, sequence=number)).SerializeToString()


def dtmf(number, digits=100):
    return CallerMessage(dtmf=Dtmf(digits="1" * digits, duration_ms=number)).SerializeToString()


async def test_audio_and_control_arrive_in_order(pair):
    near, far = pair
    near.send_audio(7, b"one")
    near.send(GONE)
    near.send_audio(8, b"two")
    kind, body = await far.receive()
    assert (kind, split_audio(body)[1]) == (Kind.AUDIO, b"one")
    kind, body = await far.receive()
    assert (kind, lk.DoorToWorker.FromString(body)) == (Kind.CONTROL, GONE)
    kind, body = await far.receive()
    assert split_audio(body)[1] == b"two"


async def test_stamps_are_times_of_the_clock_here(pair):
    near, far = pair
    sent_ns = time.monotonic_ns()
    near.send_audio(sent_ns, b"a")
    near.send_audio(0, b"b")
    got = split_audio((await far.receive())[1])[0]
    assert abs(got - sent_ns) < 1_000_000_000
    assert got <= time.monotonic_ns()
    assert split_audio((await far.receive())[1])[0] == 0  # none stays none


async def test_the_end_is_none_and_stays_none(pair):
    near, far = pair
    near.send(GONE)
    await near.close()
    assert await far.receive() is not None
    assert await far.receive() is None
    assert await far.receive() is None
    assert far.ended
    far.send(GONE)  # into the void, without an error


async def test_a_handler_gets_what_waited_what_comes_and_the_end(pair):
    near, far = pair
    near.send(GONE)
    got, ended = [], asyncio.Event()
    while not far._inbox:  # the first frame waits in the inbox
        await asyncio.sleep(0)
    far.handle(lambda kind, body: got.append((kind, body)), ended.set)
    near.send_audio(1, b"x")
    await near.close()
    await asyncio.wait_for(ended.wait(), PATIENCE_S)
    assert [kind for kind, _ in got] == [Kind.CONTROL, Kind.AUDIO]


async def test_a_handler_set_after_the_end_is_told_at_once(pair):
    near, far = pair
    await near.close()
    assert await far.receive() is None
    ended = asyncio.Event()
    far.handle(lambda kind, body: None, ended.set)
    assert ended.is_set()


async def test_nobody_there(tmp_path, ca):
    with pytest.raises(Unavailable, match=r"no link to none\.sock"):
        await Link.connect(str(tmp_path / "none.sock"), 0.5)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unavailable, match=rf"no link to 127\.0\.0\.1:{port}"):
        await Link.connect(f"tls:127.0.0.1:{port}", 0.5, NodeTls(ca.issue("near")))


async def test_what_waits_still_goes_out_at_the_close(pair):
    near, far = pair
    far._transport.pause_reading()
    count = 0
    while not near._backlog:  # the system's buffers hold megabytes
        near.send_audio(1, dtmf(count, digits=20_000))
        count += 1
        await asyncio.sleep(0)
    near.send(GONE)
    closing = asyncio.create_task(near.close())
    await asyncio.sleep(0)
    far._transport.resume_reading()
    for number in range(count):
        message = CallerMessage.FromString(split_audio((await far.receive())[1])[1])
        assert message.dtmf.duration_ms == number
    assert (await far.receive())[0] is Kind.CONTROL
    await closing
    assert await far.receive() is None


async def test_while_the_peer_does_not_read_the_oldest_audio_goes_and_control_stays(pair):
    near, far = pair
    far._transport.pause_reading()
    sent = 0
    while near.dropped_audio < 50:
        near.send_audio(1, audio(sent, bytes(60_000)))
        if sent % 10 == 0:
            near.send_audio(1, dtmf(sent))
        sent += 1
        await asyncio.sleep(0)  # the loop takes what it can
    near.send(GONE)
    far._transport.resume_reading()
    frames: list[int] = []
    others: list[int] = []
    while (frame := await far.receive())[0] is not Kind.CONTROL:
        message = CallerMessage.FromString(split_audio(frame[1])[1])
        if message.HasField("audio"):
            frames.append(message.audio.sequence)
        else:
            others.append(message.dtmf.duration_ms)
    assert lk.DoorToWorker.FromString(frame[1]) == GONE
    assert others == list(range(0, sent, 10))
    assert len(frames) == sent - near.dropped_audio
    assert frames == sorted(frames)
    assert frames[-1] == sent - 1  # the newest got through


async def test_a_peer_that_lets_control_messages_pile_up_is_cut_off(pair):
    near, far = pair
    far._transport.pause_reading()
    big = lk.SessionToWorker(to_caller=bytes(100_000))
    for _ in range(link_module.MAX_WAITING_CONTROL + 50):
        near.send(big)
    async with patience():
        while not near.ended:
            await asyncio.sleep(0)


async def test_a_full_inbox_stops_reading_and_goes_on_when_emptied(pair):
    near, far = pair
    count = link_module.MAX_INBOX * 2
    for number in range(count):
        near.send(lk.DoorToWorker(first_audio_sent=lk.FirstAudioSent(down_us=number)))
    async with patience():
        while not far._reading_paused:
            await asyncio.sleep(0)
    for number in range(count):
        _, body = await far.receive()
        assert lk.DoorToWorker.FromString(body).first_audio_sent.down_us == number


async def test_a_ping_is_answered_and_neither_is_anybody_elses_business(tmp_path):
    links: list[Link] = []
    got: list[tuple[Kind, bytes]] = []

    async def on_link(link):
        links.append(link)
        link.handle(lambda kind, body: got.append((kind, body)), lambda: None)

    server = await serve(str(tmp_path / "w.sock"), on_link)
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "w.sock"))
    writer.write(encode(Kind.PONG, b"") + encode(Kind.PING, b"hello") + encode_audio(1, b"x"))
    pong = encode(Kind.PONG, b"hello12345678")  # the peer's clock is the end
    answer = await asyncio.wait_for(reader.readexactly(len(pong)), PATIENCE_S)
    assert answer[:-8] == pong[:-8]
    assert 0 < int.from_bytes(answer[-8:], "big") <= time.monotonic_ns()
    assert [kind for kind, _ in got] == [Kind.AUDIO]
    writer.close()
    await writer.wait_closed()
    await links[0].close()
    server.close()


async def test_nonsense_on_the_link_cuts_it(pair):
    near, far = pair
    near._transport.write(b"\xff\xff\xff\xff\xff\xff")
    async with patience():
        assert await far.receive() is None
        assert await near.receive() is None
