"""Who attaches to an audio worker, and who is sent away."""

import pytest

from actors.link import SESSION_SUFFIX
from protos.link.v1 import link_pb2 as lk
from tests.actors.worker.call import LONG_S, Call, attach
from tests.waiting import patience


async def test_a_door_alone_is_sent_away(link_to, monkeypatch):
    monkeypatch.setattr("actors.worker.ATTACH_TIMEOUT_S", 0.05)
    door = await link_to()
    door.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lonely")))
    abort = await Call(door, None, None).door_control("abort")
    assert abort.code == 4
    assert await door.receive() is None


async def test_a_session_that_takes_a_call_over_which_is_not_there_is_cut_off(link_to, monkeypatch):
    monkeypatch.setattr("actors.worker.ATTACH_TIMEOUT_S", LONG_S)
    session = await link_to(SESSION_SUFFIX)
    message = attach("http://127.0.0.1:9/v1")
    message.attach.takes_over = True
    session.send(message)
    async with patience():  # at once: no door is waited for
        assert await session.receive() is None


async def test_a_session_alone_is_sent_away(link_to, monkeypatch):
    monkeypatch.setattr("actors.worker.ATTACH_TIMEOUT_S", 0.05)
    session = await link_to(SESSION_SUFFIX)
    session.send(attach("http://127.0.0.1:9/v1"))
    async with patience():
        assert await session.receive() is None


async def test_a_second_door_with_the_same_lease_is_cut(link_to):
    first = await link_to()
    first.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lease")))
    second = await link_to()
    second.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lease")))
    async with patience():
        ended = await second.receive() if not first.ended else await first.receive()
    assert ended is None


@pytest.mark.parametrize("suffix", ["", SESSION_SUFFIX])
async def test_who_does_not_attach_is_cut(link_to, suffix, monkeypatch):
    monkeypatch.setattr("actors.worker.ATTACH_TIMEOUT_S", 0.05)
    silent = await link_to(suffix)
    talkative = await link_to(suffix)
    talkative.send_audio(1, b"?")
    async with patience():
        assert await silent.receive() is None
        assert await talkative.receive() is None
