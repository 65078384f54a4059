"""The client of the call methods, and its errors."""

from __future__ import annotations

import pytest

from cluster.client import Client
from protos.reception.v1 import reception_pb2 as rv
from reception.errors import NotAuthenticated, NotFound, Unavailable
from tests.fakes.door import FakeDoor


@pytest.fixture
async def door():
    fake = FakeDoor()
    await fake.start()
    for number in range(5):
        state = rv.CALL_STATE_ACTIVE if number == 4 else rv.CALL_STATE_ENDED
        fake.calls[f"c{number}"] = rv.Call(call_id=f"c{number}", state=state)
    yield fake
    await fake.stop()


async def test_pages_are_followed_to_the_end(door):
    async with Client(door.address, "secret") as client:
        calls = await client.list_calls()
    assert [call.call_id for call in calls] == ["c0", "c1", "c2", "c3", "c4"]
    assert [request.page_token for request in door.requests] == ["", "2", "4"]
    assert set(door.keys) == {"secret"}


async def test_no_more_than_was_asked_for(door):
    async with Client(door.address) as client:
        calls = await client.list_calls(rv.CALL_STATE_ENDED, at_most=3)
    assert [call.call_id for call in calls] == ["c0", "c1", "c2"]
    assert [request.page_size for request in door.requests] == [3, 1]
    assert {request.state for request in door.requests} == {rv.CALL_STATE_ENDED}


async def test_one_call(door):
    async with Client(door.address) as client:
        assert (await client.get_call("c1")).call_id == "c1"
        assert (await client.end_call("c4", "late")).call_id == "c4"
        assert door.requests[-1].reason == "late"
        with pytest.raises(NotFound, match="no call 'nope'"):
            await client.get_call("nope")
        with pytest.raises(NotFound):
            await client.end_call("nope")


async def test_watching(door):
    door.updates = [
        rv.CallUpdate(kind=rv.CallUpdate.KIND_CURRENT, call=door.calls["c4"]),
        rv.CallUpdate(kind=rv.CallUpdate.KIND_ENDED, call=door.calls["c4"]),
    ]
    async with Client(door.address) as client:
        seen = [update.kind async for update in client.watch_calls("c4")]
    assert seen == [rv.CallUpdate.KIND_CURRENT, rv.CallUpdate.KIND_ENDED]
    assert (door.requests[-1].call_id, door.requests[-1].include_current) == ("c4", True)


async def test_a_wrong_key(door):
    async with Client(door.address, "wrong") as client:
        with pytest.raises(NotAuthenticated):
            await client.list_calls()
        with pytest.raises(NotAuthenticated):
            async for _ in client.watch_calls():
                pass


async def test_nobody_there(unused_tcp_port):
    with pytest.raises(Unavailable, match="nothing answers"):
        async with Client(f"127.0.0.1:{unused_tcp_port}"):
            pass
