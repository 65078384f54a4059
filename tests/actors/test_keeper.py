"""What a node keeps of its calls, over real databases; two nodes, one of them too late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from actors import keeper as keeper_module
from actors.keeper import CallKeeper
from reception.call.record import CallRecord, CallSpec
from reception.errors import NotFound
from reception.money.leases import Claim
from reception.money.scopes import Owner
from tests.unit.call.example import SPEC
from tests.waiting import patience


class Two:
    """Two nodes of one cluster."""

    def __init__(self, database_url: str) -> None:
        self.fenced: list[tuple[str, str]] = []
        self.a = CallKeeper(database_url, "a", lambda session: self.fenced.append(("a", session)))
        self.b = CallKeeper(database_url, "b", lambda session: self.fenced.append(("b", session)))

    async def save(self, node: str, reason: str) -> bool:
        keeper, record = getattr(self, node), ended(at(node), reason)
        kept: bool = await keeper.save_call(record, keeper.generation("s1"))
        return kept

    def close(self) -> None:
        self.a.close()
        self.b.close()


@pytest.fixture
async def two(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Two]:
    monkeypatch.setattr(keeper_module, "KEEP_S", 0.01)
    nodes = await asyncio.to_thread(Two, database_url)
    writing = [asyncio.create_task(each.keep_writing()) for each in (nodes.a, nodes.b)]
    yield nodes
    for task in writing:
        task.cancel()
    await asyncio.to_thread(nodes.close)


def at(node: str, session_id: str = "s1") -> CallSpec:
    return replace(SPEC, session_id=session_id, node_id=node, key_id="k", accepted_at_s=5.0)


def ended(spec: CallSpec, reason: str) -> CallRecord:
    return CallRecord(spec, "ended", "ended", "m", end_reason=reason, ended_at_s=time.time())


async def until_kept(keeper: CallKeeper, token: str, state: bytes) -> None:
    async with patience():
        while (await keeper.by_token(token, "k")).checkpoint != state:
            await asyncio.sleep(0.01)


async def test_another_node_takes_a_call_from_its_last_state(two: Two) -> None:
    await two.a.begin(at("a"), "token")
    two.a.keep("s1", b"one")
    two.a.keep("s1", b"two")
    await until_kept(two.b, "token", b"two")
    assert await two.a.owns("s1")
    assert (two.a.state("s1"), two.b.state("s1")) == (b"two", b"")
    claim = await two.b.take(at("b"), "token")
    assert (claim.generation, claim.checkpoint, claim.spec.node_id) == (2, b"two", "b")
    assert not await two.a.owns("s1")
    assert await two.b.owns("s1")
    assert (await two.a.by_token("token", "k")).spec.node_id == "b"


async def test_a_node_that_was_only_standing_still_can_write_nothing(two: Two) -> None:
    await two.a.begin(at("a"), "token")
    await two.b.take(at("b"), "token")
    two.a.keep("s1", b"late")
    async with patience():
        while two.fenced != [("a", "s1")]:
            await asyncio.sleep(0.01)
    await two.a.new_token("s1", "mine")
    with pytest.raises(NotFound):
        await two.a.by_token("mine", "k")
    assert not await two.save("a", "caller_vanished")
    assert await two.b.read(lambda calls: calls.get_call(SPEC.call_id)) is None
    assert await two.save("b", "caller_hangup")
    record = await two.a.read(lambda calls: calls.get_call(SPEC.call_id))
    assert record is not None
    assert (record.end_reason, record.spec.node_id) == ("caller_hangup", "b")
    with pytest.raises(NotFound):
        await two.b.by_token("token", "k")


async def test_a_call_is_taken_once(two: Two) -> None:
    await two.a.begin(at("a"), "token")
    await two.b.take(at("b"), "token")
    await two.save("b", "caller_hangup")
    with pytest.raises(NotFound, match="over"):
        await two.a.take(at("a"), "token")


async def test_a_call_that_was_lost_before_it_was_written_down_is_taken_too(two: Two) -> None:
    claim = await two.b.take(at("b"), "token")
    assert (claim.generation, claim.checkpoint) == (1, b"")
    await two.a.begin(at("a"), "other")  # its node woke up
    assert two.fenced == [("a", "s1")]
    assert await two.b.owns("s1")
    assert await two.a.owns("never heard of")


async def test_a_token_is_good_for_its_key_and_until_the_next(two: Two) -> None:
    await two.a.begin(at("a"), "first")
    for token, key in (("first", "other"), ("nonsense", "k")):
        with pytest.raises(NotFound, match="not that of a live call") as caught:
            await two.b.by_token(token, key)
        assert caught.value.field == "start.resume_token"
    await two.a.new_token("s1", "second")
    assert (await two.b.by_token("second", "k")).spec == at("a")
    on_lease = replace(
        at("a", "s2"), call_id="c2", claim=Claim(Owner("s2"), "lease:d:1", 5, 1, 30.0)
    )
    await two.a.begin(on_lease, "third")
    assert (await two.b.by_token("third", "k")).spec == on_lease
    with pytest.raises(NotFound):
        await two.b.by_token("first", "k")


async def test_a_call_that_ended_leaves_no_place_and_no_state(two: Two) -> None:
    await two.a.begin(at("a"), "token")
    assert await two.save("a", "caller_hangup")
    two.a.keep("s1", b"late")
    assert two.a.state("s1") == b""
    await asyncio.sleep(0.05)
    with pytest.raises(NotFound):
        await two.a.by_token("token", "k")
    assert two.fenced == []
    assert await two.save("a", "caller_hangup")
    two.a.forget("s1")
