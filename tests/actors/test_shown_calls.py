"""Calls as the API shows them, from real databases and from a node's agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from actors.agent import NodeAgent
from actors.assignment import NodeConfig
from actors.caller_messages import call_of
from actors.keeper import CallKeeper
from actors.shown_calls import live_in
from actors.storage import shown
from actors.storage.calls import CallStore
from actors.storage.engine import Store
from cluster.management import create_app
from cluster.management.access import PREFIX
from protos.reception.v1 import reception_pb2 as rv
from reception.call.record import CallRecord
from reception.errors import InvalidRequest
from reception.money.leases import Claim
from reception.money.scopes import Owner
from reception.placement.pool import PoolRules
from reception.security.admission import Admission
from tests.actors.test_storage_calls import RECORD, SPEC, call


def ended(store: Store, size: int, token: str = "") -> rv.ListCallsResponse:
    with store.reading() as connection:
        return rv.ListCallsResponse.FromString(shown.ended(connection, size, token))


def ids(page: rv.ListCallsResponse) -> list[str]:
    return [each.session_id for each in page.calls]


def test_a_call_is_shown_as_its_record_says(store: Store) -> None:
    claim = Claim(Owner("s-2", tenant="acme", model="m"), "lease:d:1", 5, 1, 30.0)
    leased = replace(RECORD, spec=replace(SPEC, call_id="call-2", session_id="s-2", claim=claim))
    live = replace(RECORD, spec=replace(SPEC, call_id="call-3", session_id="s-3"),
                   state="active", ended_at_s=None)  # fmt: skip
    for record in (RECORD, leased, live):
        CallStore(store).save_call(record)
        with store.reading() as connection:
            found = shown.newest(connection, record.spec.call_id)
        assert found is not None
        assert rv.Call.FromString(found) == call_of(record)
    with store.reading() as connection:
        assert shown.newest(connection, "nobody") is None


def test_an_id_used_again_shows_the_newest(store: Store) -> None:
    newer = replace(RECORD, spec=replace(SPEC, session_id="session-2", accepted_at_s=1.8e9))
    for record in (newer, RECORD):
        CallStore(store).save_call(record)
    with store.reading() as connection:
        assert shown.newest(connection, "call-1") == call_of(newer).SerializeToString()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_pages_show_every_ended_call_once_newest_first(store: Store, size: int) -> None:
    calls = CallStore(store)
    for number in (3, 1, 5, 2, 4):
        calls.save_call(call(number))
    calls.save_call(replace(call(3), spec=replace(call(3).spec, session_id="s-3b")))
    calls.save_call(call(6, state="active"))
    found: list[rv.Call] = []
    token, pages = "", 0
    while token or not pages:
        page = ended(store, size, token)
        records, expected = calls.list_calls("ended", size, token)
        assert list(page.calls) == [call_of(record) for record in records]
        found += page.calls
        token, pages = page.next_page_token, pages + 1
        assert token == expected
    assert [each.session_id for each in found] == ["s-5", "s-4", "s-3b", "s-3", "s-2", "s-1"]
    assert pages == -(-6 // size)


@pytest.mark.parametrize(("size", "token"), [(0, ""), (1_001, ""), (10, "x"), (10, "e30=")])
def test_a_page_that_can_not_be_is_refused(store: Store, size: int, token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ended(store, size, token)
    assert caught.value.field == ("page_token" if token else "page_size")


# ------------------------------------------------------------------ a node's agent


@pytest.fixture
async def agent(tmp_path: Path, database_url: str) -> AsyncIterator[NodeAgent]:
    """With calls 1 to 4 ended, 5 active and 6 ending here, and 7 not shown yet."""
    config = NodeConfig("n1", str(tmp_path), database_url, "", PoolRules(floor=1, ceiling=1))
    keeper, agent = CallKeeper(database_url, "n1", lambda _: None), NodeAgent(config)
    agent._provide(keeper, None)
    for number in range(1, 5):
        await keeper.save_call(call(number), 0)
    for number, state in ((5, "active"), (6, "ending"), (7, "connecting")):
        record = live(number, state)
        there: Any = SimpleNamespace(spec=record.spec, record=record, shown=number != 7)
        agent._calls.began(there)
    yield agent
    keeper.close()


def live(number: int, state: str) -> CallRecord:
    return call(number, state=state, ended_at_s=None)


async def page(
    agent: NodeAgent, state: str, size: int, token: str = "", elsewhere: tuple[CallRecord, ...] = ()
) -> tuple[list[str], str]:
    """As a door asks for it that knows of live calls elsewhere."""
    others = live_in(elsewhere, state) if not token and state != "ended" else []
    answer = await agent.show_calls(state, size, token, len(others))
    whole = rv.ListCallsResponse.FromString(answer.with_live(others, size))
    return ids(whole), whole.next_page_token


async def test_live_calls_come_before_ended_ones_on_the_first_page_only(agent: NodeAgent) -> None:
    first, token = await page(agent, "", 4)
    assert first == ["s-6", "s-5", "s-4", "s-3"]
    assert await page(agent, "", 4, token) == (["s-2", "s-1"], "")


async def test_live_calls_of_other_nodes_are_in_their_places(agent: NodeAgent) -> None:
    older = replace(live(5, "active"), spec=replace(live(5, "active").spec, session_id="s-5b"))
    elsewhere = (live(9, "active"), older)
    first, token = await page(agent, "", 6, elsewhere=elsewhere)
    assert first == ["s-9", "s-6", "s-5", "s-5b", "s-4", "s-3"]
    assert (await page(agent, "", 6, token, elsewhere))[0] == ["s-2", "s-1"]


@pytest.mark.parametrize(
    ("state", "size", "expected"),
    [
        ("active", 10, ["s-5"]),
        ("ending", 10, ["s-6"]),
        ("connecting", 10, []),
        ("ended", 2, ["s-4", "s-3"]),
        ("", 1, ["s-6", "s-4"]),  # an ended one always, so that the next page has its token
    ],
)
async def test_pages_of_one_state(
    agent: NodeAgent, state: str, size: int, expected: list[str]
) -> None:
    assert (await page(agent, state, size))[0] == expected


async def test_a_live_call_is_shown_before_an_ended_one_of_its_id(agent: NodeAgent) -> None:
    for number, record in ((5, live(5, "active")), (2, call(2))):
        assert await agent.show_call(f"call-{number}") == call_of(record).SerializeToString()
    assert await agent.show_call("call-7") is None
    assert await agent.show_call("nobody") is None


@pytest.mark.parametrize(
    ("state", "size", "first", "next_"),
    [
        ("", 4, ["s-6", "s-5", "s-4", "s-3"], ["s-2", "s-1"]),
        ("", 1, ["s-6", "s-4"], ["s-3"]),
        ("active", 10, ["s-5"], []),
        ("connecting", 10, [], []),
        ("ended", 3, ["s-4", "s-3", "s-2"], ["s-1"]),
    ],
)
async def test_the_management_api_lists_the_same_calls(
    agent: NodeAgent, state: str, size: int, first: list[str], next_: list[str]
) -> None:
    async def ask(role: str, method: str, *args: Any) -> Any:
        if role == "security":
            return Admission(True, "t", "k")
        assert role == "agent"
        return await getattr(agent, method)(*args)

    transport = httpx.ASGITransport(create_app(ask))
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        found, token = [], ""
        for _ in range(2):
            answer = await client.get(
                f"{PREFIX}/calls",
                params={"state": state, "page_size": size, "page_token": token},
            )
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found.append([each["spec"]["session_id"] for each in page["calls"]])
            assert all(each["transcript_count"] == 3 for each in page["calls"])
            token = page["next_page_token"]
            if not token:
                break
    assert found == [first, *([next_] if next_ else [])]
