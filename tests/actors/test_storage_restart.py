"""A PostgreSQL server that stops and comes back under the singletons that write to it."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from actors.cost import CostController
from actors.security import SecurityGuard
from actors.settings import Settings
from actors.storage import schema
from actors.storage.engine import Store
from cluster.local_postgres import LocalPostgres
from reception.errors import Unavailable
from reception.money.scopes import Owner
from reception.provider.base import Usage
from tests import postgres

MODEL = "gpt-realtime-2.1-mini"
ROUNDS = 3
AT_ONCE = 8


@pytest.fixture
def running() -> Iterator[LocalPostgres]:
    """A server of this test's own: it is stopped."""
    with postgres.server() as found:
        yield found


async def test_bills_are_taken_again_and_each_counts_once(running: LocalPostgres) -> None:
    url = running.create("bills")
    cost = CostController(Settings(database_url=url))
    assert (await cost.open_call(Owner("s1", "c1", "t", "k", MODEL))).admitted
    failures: list[Unavailable] = []
    numbers = itertools.count()
    back = asyncio.Event()

    async def post() -> None:
        """As an outbox does: the same one again until it is taken."""
        number = next(numbers)
        while True:
            try:
                await cost.usage("s1", f"r{number}", MODEL, Usage(output_audio=10))
            except Unavailable as error:
                failures.append(error)
                await asyncio.sleep(0.01)
            else:
                if back.is_set():
                    return
                number = next(numbers)

    async def stop_and_start() -> None:
        back.clear()
        await asyncio.sleep(0.1)  # a commit is under way
        await asyncio.to_thread(running.stop)
        with pytest.raises(Unavailable) as caught:
            await cost.open_call(Owner("s2", "c2", "t", "k", MODEL))
        failures.append(caught.value)
        await asyncio.to_thread(running.start)
        back.set()

    for _ in range(ROUNDS):
        await asyncio.gather(stop_and_start(), *(post() for _ in range(AT_ONCE)))
    posted = next(numbers)
    assert len(failures) > ROUNDS, "no bill was under way when the server stopped"
    assert all(each.retry_after_s > 0 for each in failures)
    assert await cost.check() == []
    account = await cost.call_cost("s1")
    assert account.responses == posted
    cost.close()
    store = Store.open(url)
    with store.reading() as connection:
        ids = connection.execute(sa.select(schema.usage.c.response_id)).scalars().all()
        epoch = connection.execute(
            sa.select(schema.epochs.c.epoch).where(schema.epochs.c.singleton == "cost")
        ).scalar_one()
    store.close()
    assert sorted(ids) == sorted(f"r{number}" for number in range(posted))
    assert epoch == 1, "a connection that was lost is no reason for a new epoch"


async def test_bills_given_up_while_it_stands_still_count_once(running: LocalPostgres) -> None:
    cost = CostController(Settings(database_url=running.create("frozen")))
    assert (await cost.open_call(Owner("s1", "c1", "t", "k", MODEL))).admitted
    given_up = 0
    numbers = itertools.count()
    awake = asyncio.Event()

    async def post() -> None:
        nonlocal given_up
        number = next(numbers)
        while True:
            try:
                async with asyncio.timeout(0.2):
                    await cost.usage("s1", f"r{number}", MODEL, Usage(output_audio=10))
            except TimeoutError:
                given_up += 1
            else:
                if awake.is_set():
                    return
                number = next(numbers)

    async def freeze() -> None:
        await asyncio.sleep(0.1)
        running.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(1.0)
        finally:
            running.send(signal.SIGCONT)
            awake.set()

    await asyncio.gather(freeze(), *(post() for _ in range(AT_ONCE)))
    assert given_up >= AT_ONCE, "nobody waited for it"
    assert await cost.check() == []
    assert (await cost.call_cost("s1")).responses == next(numbers)
    cost.close()


async def test_who_comes_while_it_is_away_is_refused_and_let_in_afterwards(
    running: LocalPostgres,
) -> None:
    guard = SecurityGuard(Settings(database_url=running.create("keys"), insecure_dev=True))
    peer = "ipv4:127.0.0.1:0"
    assert (await guard.admit(None, peer, "call")).allowed
    running.stop()
    for _ in range(2):  # the broken connection, then none at all
        with pytest.raises(Unavailable) as caught:
            await guard.admit(None, peer, "call")
        assert caught.value.retry_after_s > 0
    running.start()
    assert (await guard.admit(None, peer, "call")).allowed
    guard.close()


async def test_a_singleton_that_starts_while_it_is_away_says_so(running: LocalPostgres) -> None:
    url = running.create("late")
    running.stop()
    with pytest.raises(Unavailable, match="database"):
        Store.open(url)
    running.start()
    Store.open(url).close()
