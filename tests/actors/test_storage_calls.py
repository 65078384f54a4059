"""Call records, transcripts and messages in real databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from actors.storage import schema
from actors.storage.calls import CallStore
from actors.storage.engine import Store
from reception.call.record import CallRecord, CallSpec, Said, TakenMessage, TurnTime
from reception.errors import InvalidRequest
from reception.money.leases import Claim
from reception.money.scopes import Owner

SPEC = CallSpec(
    call_id="call-1", session_id="session-1", lease_id="lease-1", from_uri="+4930555",
    to_uri="100", direction="inbound", codec="pcmu", rate_hz=8_000, ptime_ms=20,
    sends_marks=True, profile="default", metadata={"trunk": "a", "é": "☎"}, tenant="acme",
    key_id="k", node_id="n1", accepted_at_s=1_700_000_000.25,
)  # fmt: skip
MESSAGE = TakenMessage("call-1", "Anna", "John", "5550123", "Call me\nback ☎", 1_700_000_009.5)
RECORD = CallRecord(
    spec=SPEC, state="ended", phase="ended", model="embedded", ended_at_s=1_700_000_060.0,
    end_reason="completed", transferred_to="+49301", turns=3, interruptions=1,
    cost_micros=12_345,
    transcript=(
        Said("reception", "Good morning", 10, "i1"),
        Said("caller", "Hello", 2_000, "i2"),
        Said("reception", "Our opening", 3_000, "i3", interrupted=True, heard_ms=420),
    ),
    turn_times=(TurnTime(1, 640, 1_200, False), TurnTime(2, 700, 900, True)),
    messages=(MESSAGE,), stats={"frames_in": 3_000}, recording="out/x.wav",
    budget_steps=("warn", "wrap_up"),
)  # fmt: skip


@pytest.fixture
def calls(store: Store) -> CallStore:
    return CallStore(store)


def call(number: int, **changes: object) -> CallRecord:
    spec = replace(
        SPEC, call_id=f"call-{number}", session_id=f"s-{number}", accepted_at_s=1_000.0 + number
    )
    # fields of several types
    return replace(RECORD, spec=spec, messages=(), **changes)  # type: ignore[arg-type]


def count(store: Store, table: sa.Table) -> int:
    with store.reading() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(table))
        return int(total.scalar_one())


def test_a_record_is_read_back_whole(calls: CallStore) -> None:
    calls.save_call(RECORD)
    assert calls.get_call("call-1") == RECORD


def test_so_is_that_of_a_call_that_began_on_a_lease(calls: CallStore) -> None:
    claim = Claim(Owner("s-1", tenant="acme", model="m"), "lease:d:1", 5, 1, 30.0)
    record = replace(RECORD, spec=replace(RECORD.spec, claim=claim))
    calls.save_call(record)
    assert calls.get_call("call-1") == record


def test_a_record_sent_twice_is_kept_once(store: Store, calls: CallStore) -> None:
    calls.save_call(RECORD)
    calls.save_call(RECORD)
    assert calls.get_call("call-1") == RECORD
    tables = (schema.calls, schema.transcripts, schema.messages)
    assert [count(store, table) for table in tables] == [1, 3, 1]


def test_a_call_grows_and_then_stays_ended(calls: CallStore) -> None:
    live = replace(
        RECORD, state="active", ended_at_s=None, transcript=RECORD.transcript[:1], messages=()
    )
    calls.save_call(live)
    assert calls.get_call("call-1") == live
    calls.save_call(RECORD)
    calls.save_call(live)
    assert calls.get_call("call-1") == RECORD


def test_an_id_used_again_finds_the_newest(calls: CallStore) -> None:
    newer = replace(RECORD, spec=replace(SPEC, session_id="session-0", accepted_at_s=1.8e9))
    calls.save_call(newer)
    calls.save_call(RECORD)
    assert calls.get_call("call-1") == newer
    assert len(calls.list_calls("", 10, "")[0]) == 2


def test_an_unknown_call(calls: CallStore) -> None:
    assert calls.get_call("nobody") is None


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_pages_give_every_call_once_newest_first(calls: CallStore, size: int) -> None:
    for number in (3, 1, 5, 2, 4):
        calls.save_call(call(number))
    calls.save_call(replace(call(3), spec=replace(call(3).spec, session_id="s-3b")))
    found: list[str] = []
    token, pages = "", 0
    while token or not pages:
        page, token = calls.list_calls("", size, token)
        assert 1 <= len(page) <= size
        found += [record.spec.session_id for record in page]
        pages += 1
    assert found == ["s-5", "s-4", "s-3b", "s-3", "s-2", "s-1"]
    assert pages == -(-6 // size)


def test_pages_of_one_state(calls: CallStore) -> None:
    for number in range(4):
        calls.save_call(call(number, state="active" if number % 2 else "ended"))
    page, token = calls.list_calls("active", 10, "")
    assert [record.spec.session_id for record in page] == ["s-3", "s-1"]
    assert token == ""


@pytest.mark.parametrize("token", ["x", "%%%", "e30=", "WzFd", "WyJhIiwgImIiXQ==", "é"])
def test_a_made_up_token_is_refused(calls: CallStore, token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        calls.list_calls("", 10, token)
    assert caught.value.field == "page_token"


@pytest.mark.parametrize("size", [0, -1, 1_001])
def test_a_page_size_out_of_bounds_is_refused(calls: CallStore, size: int) -> None:
    with pytest.raises(InvalidRequest, match=str(size)) as caught:
        calls.list_calls("", size, "")
    assert caught.value.field == "page_size"


def test_a_message_sent_twice_is_kept_once(calls: CallStore) -> None:
    later = replace(MESSAGE, at_s=MESSAGE.at_s + 1)
    for message in (later, MESSAGE, MESSAGE):
        calls.save_message(message)
    calls.save_call(RECORD)
    assert calls.messages() == [MESSAGE, later]


def test_what_people_say_may_hold_any_character(calls: CallStore) -> None:
    said = (Said("caller", "a\x00b'; DROP TABLE calls; -- \ud83d\ude00".encode(
        "utf-16", "surrogatepass").decode("utf-16"), 1),)  # fmt: skip
    calls.save_call(replace(RECORD, transcript=said))
    found = calls.get_call("call-1")
    assert found is not None
    assert found.transcript[0].text == "ab'; DROP TABLE calls; -- 😀"
