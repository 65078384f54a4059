"""A database of each earlier version, with what it kept, under the newest: all of it is
there, the ledger is proved, and its calls go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from actors.cost import CostController
from actors.storage import audit
from actors.storage.engine import HEAD, Store
from reception.money.scopes import Owner
from reception.provider.base import Usage
from tests.actors import earlier_rows
from tests.actors.earlier_rows import HELD, LIMIT, MODEL, OPEN, OVER
from tests.actors.test_storage_migrations import at_revision

EARLIER = [f"{number:04}" for number in range(1, int(HEAD))]
TURN = Usage(input_text=1_000, output_audio=100, input_image=500)
COST, COST_BY_OLD_TABLE = 600 + 2_000 + 400, 1_200 + 4_000 + 600  # where images are text


@pytest.fixture(params=EARLIER)
def revision(request: pytest.FixtureRequest, database_url: str, clock: Callable[[], float]) -> str:
    """Of the database, which has that version's rows in it."""
    found: str = request.param
    engine = at_revision(database_url, found)
    with engine.begin() as connection:
        earlier_rows.write(connection, earlier_rows.earlier(found, clock()))
    engine.dispose()
    return found


@pytest.fixture
def clock() -> Callable[[], float]:
    """Stands still: rows are written, and looked for, by the same time."""
    now_s = 1_795_521_600.0 + 600
    return lambda: now_s


def test_every_row_is_there(revision: str, database_url: str, clock: Callable[[], float]) -> None:
    wanted = earlier_rows.upgraded(revision, clock())
    store = Store.open(database_url)
    with store.reading() as connection:
        assert earlier_rows.read(connection, wanted) == wanted
        assert not sa.inspect(connection).has_table("node_health")
        assert audit.fault(connection) == ""
    store.close()


async def test_its_calls_are_billed_on(revision: str, make: Callable[..., CostController]) -> None:
    cost = make()
    cost_of_turn = COST if revision < "0003" else COST_BY_OLD_TABLE
    assert (await cost.ping())["epoch"] == 5
    assert await cost.check() == []
    assert await cost.verify() == []
    totals = await cost.totals()
    assert (totals["posted_micros"], totals["held_micros"]) == (OPEN + OVER, HELD)
    for _ in range(2):
        charge = await cost.usage("s1", "r2", MODEL, TURN)
        assert (charge.cost_micros, charge.call_total_micros) == (cost_of_turn, OPEN + cost_of_turn)
    again = await cost.usage("s1", "r1", MODEL, Usage(output_audio=250))
    assert again.call_total_micros == OPEN + cost_of_turn
    closed = await cost.close_call("s1")
    assert (closed.total_micros, closed.held_micros, closed.closed) == (
        OPEN + cost_of_turn, 0, True,
    )  # fmt: skip
    assert (closed.input_image, closed.output_audio) == (500, 250 + 100)
    assert (await cost.open_call(Owner("s9", "c9", "acme", "k1", MODEL))).admitted
    totals = await cost.totals()
    assert totals["posted_micros"] == OPEN + OVER + cost_of_turn
    assert totals["models"][MODEL]["input_image"] == 500
    assert await cost.check() == []
    assert await cost.verify() == []


async def test_its_limits_hold(revision: str, make: Callable[..., CostController]) -> None:
    cost = make()
    limits = {(each["scope"], each["window"]): each for each in await cost.limits()}
    assert limits["global", "day"]["posted_micros"] == OPEN + OVER
    assert limits["global", "day"]["held_micros"] == HELD
    policies = await cost.policies()
    if revision < "0003":
        assert ("tenant:acme", "day") not in limits
        assert policies == {}
        return
    assert limits["tenant:acme", "day"]["limit_micros"] == LIMIT
    assert policies == {"acme": {"warn": 20, "wrap_up": 0}}
    await cost.set_limit("tenant:acme", "day", OPEN + OVER + HELD, "test")
    assert not (await cost.open_call(Owner("s9", "c9", "acme", "k1", MODEL))).admitted
    with cost._store.reading() as connection:
        assert audit.fault(connection) == ""
