"""Leases of budget in the cost singleton, over real databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from actors.cost import CostController
from actors.lending import MAX_AT_ONCE
from actors.storage.prices import models_in_use
from reception.errors import Fenced, InvalidRequest
from reception.money.account import Hold
from reception.money.leases import Claim, Lease
from reception.money.purses import Purses, Wanted
from reception.money.scopes import Owner
from reception.provider.base import Usage

MODEL = "gpt-realtime-2.1-mini"
HELD, TAIL = 60_000, 20_000  # 30 and 15 s at 0.08 dollars a minute
TURN = Usage(output_audio=100)
TURN_COST = 2_000

Make = Callable[..., CostController]


def owner(session: str, **named: Any) -> Owner:
    return replace(Owner(session, f"call-{session}", "acme", "key", MODEL, "1", "p"), **named)


def wanted(name: str = "n1", calls: int = 2) -> tuple[Wanted, ...]:
    return ((owner(f"lease:{name}"), calls),)


def claim(session: str, name: str = "n1", **named: str) -> Claim:
    return Claim(owner(session, **named), f"lease:{name}", HELD, TAIL, 30.0)


async def lend(cost: CostController, name: str = "n1", calls: int = 2) -> Lease:
    [lease] = await cost.lease(wanted(name, calls))
    assert lease is not None
    return lease


async def test_a_lease_is_no_call(cost: CostController) -> None:
    for _ in range(2):
        lease = await lend(cost)
    assert (lease.micros, lease.hold_micros, lease.tail_micros) == (2 * HELD, HELD, TAIL)
    totals = await cost.totals()
    assert (totals["calls"], totals["open_calls"], totals["holds"]) == (0, 0, 0)
    assert (totals["held_micros"], totals["leased_micros"]) == (0, 2 * HELD)
    [day] = [each for each in await cost.limits() if each["window"] == "day"]
    assert day["held_micros"] == 2 * HELD
    report = await cost.report("tenant", "1h")
    assert report["rows"] == []
    with cost._store.reading() as connection:
        assert models_in_use(connection) == []
    for _ in range(2):
        assert await cost.lease((), ("lease:n1",)) == ()
    assert (await cost.totals())["leased_micros"] == 0
    assert await cost.lease(wanted()) == (None,)


async def test_a_call_is_claimed_once_and_billed_in_its_scopes(cost: CostController) -> None:
    await lend(cost)
    for _ in range(2):
        assert await cost.claim(claim("s1")) == Hold(True, held_micros=HELD)
    for _ in range(2):  # the bill comes first, and again
        charge = await cost.usage("s2", "r1", MODEL, TURN, claim("s2"))
        assert (charge.call_total_micros, charge.wrap_up) == (TURN_COST, False)
    assert (await cost.transcription("s1", "i", "whisper-1", 6, 0, 0, claim("s1"))).cost_micros
    totals = await cost.totals()
    assert (totals["calls"], totals["holds"], totals["leased_micros"]) == (2, 2, 0)
    for session in ("s1", "s2"):
        await cost.close_call(session, claim(session))
    cost_s = await cost.close_call("s3", claim("s3"))  # begun, used nothing, its lease is empty
    assert cost_s.closed
    totals = await cost.totals()
    assert (totals["held_micros"], totals["overdraft_micros"]) == (0, 0)
    report = await cost.report("number", "1h")
    assert [row["calls"] for row in report["rows"]] == [2]


async def test_a_restart_keeps_leases(make: Make) -> None:
    await lend(make())
    after = make()
    assert (await after.totals())["leased_micros"] == 2 * HELD
    assert (await after.claim(claim("s1"))).admitted
    assert (await lend(after, calls=1)).micros == HELD


async def test_a_predecessor_lends_nothing(make: Make) -> None:
    old, new = make(), make()
    await old.ping()
    await new.ping()
    for work in (old.lease(wanted()), old.claim(claim("s1"))):
        with pytest.raises(Fenced):
            await work
    assert (await new.totals())["leased_micros"] == 0


async def test_what_is_left_is_free_after_the_end(make: Make) -> None:
    cost = make(cost_limit_hourly=1.2)
    steady = 0.0
    cost._lending._steady = lambda: steady
    assert (await lend(cost, calls=9)).micros == 2 * HELD  # a tenth
    for number in range(18):
        assert (await cost.open_call(owner(f"s{number}"))).admitted
    assert not (await cost.open_call(owner("t1"))).admitted
    steady = 120 + 10 + 45 + 15 + 0.1
    cost._books.book._swept_s = 0.0
    assert (await cost.open_call(owner("t1"))).admitted
    assert (await cost.totals())["leased_micros"] == 0


async def test_leases_and_calls_are_told_apart_by_their_ids(cost: CostController) -> None:
    with pytest.raises(InvalidRequest, match="session_id is 'lease:x'"):
        await cost.open_call(owner("lease:x"))
    with pytest.raises(InvalidRequest, match="session_id is 'x'"):
        await cost.lease(((owner("x"), 1),))
    with pytest.raises(InvalidRequest, match="session_id is 'x'"):
        await cost.lease((), ("x",))
    with pytest.raises(InvalidRequest, match="session_id is 'lease:x'"):
        await cost.claim(Claim(owner("lease:x")))
    with pytest.raises(InvalidRequest, match="another call"):
        await cost.close_call("s1", claim("s2"))
    with pytest.raises(InvalidRequest, match=f"at most {MAX_AT_ONCE}"):
        await cost.lease((), ("lease:x",) * (MAX_AT_ONCE + 1))
    unpriced = replace(owner("lease:n1"), model="x")
    assert await cost.lease(((unpriced, 1),)) == (None,)


async def test_a_ledger_that_does_not_add_up_lends_nothing(cost: CostController) -> None:
    await cost.ping()
    cost._books.faults = ["one"]
    assert await cost.lease(wanted()) == (None,)
    cost._books.faults = []


async def test_doors_and_a_singleton_that_comes_and_goes(make: Make) -> None:
    """Three doors' real purses, four lives of the singleton: exactly what the limit
    allows is admitted, on leases or not, and none of it is overdraft."""
    doors = [Purses(f"d{number}") for number in range(3)]
    admitted: list[str] = []
    now_s = 0.0
    for life in range(4):
        cost = make(cost_limit_hourly=1.2)  # 20 calls
        for number, door in enumerate(doors):
            kind = owner(f"{life}-{number}")
            if (await cost.open_call(kind)).admitted:
                admitted.append(kind.session_id)
                door.came(kind, now_s)
            request = door.ask(now_s)
            if request is not None:
                door.answered(request, await cost.lease(request.wanted, request.back))
        now_s += 60.0
        claims = [
            door.hold(owner(f"{life}-{number}-{call}"), now_s)
            for number, door in enumerate(doors)
            for call in range(3)
        ]
        later = make(cost_limit_hourly=1.2)
        for found in filter(None, claims):
            assert (await later.claim(found)).admitted
            admitted.append(found.owner.session_id)
        totals = await later.totals()
        assert totals["held_micros"] == HELD * len(admitted)
        assert totals["held_micros"] + totals["leased_micros"] <= 1_200_000
    assert len(admitted) > 4 * 3
    for session in admitted:
        await later.usage(session, "r1", MODEL, Usage(output_audio=3_000))
    totals = await later.totals()
    assert totals["posted_micros"] == HELD * len(admitted)
    assert totals["overdraft_micros"] == 0
