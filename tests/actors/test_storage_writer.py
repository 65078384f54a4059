"""The writer thread: group commit, isolation of failures, fencing, bounds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage import schema, writer
from actors.storage.engine import Store
from actors.storage.writer import Work, Writer
from reception.errors import Fenced, InvalidRequest, LimitReached, ReceptionError, Unavailable


@pytest.fixture
def writing(store: Store) -> Iterator[Writer]:
    made = Writer(store, "cost")
    yield made
    made.close()


def put(slot: int, micros: int = 1) -> Callable[[Connection], int]:
    """Work that writes one row and answers with its number."""

    def work(connection: Connection) -> int:
        connection.execute(
            sa.insert(schema.spending).values(scope="global", slot_s=slot, micros=micros)
        )
        return slot

    return work


def slots(store: Store) -> list[int]:
    with store.reading() as connection:
        return sorted(connection.execute(sa.select(schema.spending.c.slot_s)).scalars())


class Gate:
    """Holds the writer in a request until it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, _connection: Connection) -> None:
        self.reached.set()
        assert self.open.wait(30)


async def test_the_answer_comes_after_the_commit(store: Store, writing: Writer) -> None:
    assert await writing.run(put(7)) == 7
    assert slots(store) == [7]


async def test_the_epoch_is_taken_with_the_first_write(store: Store, writing: Writer) -> None:
    assert writing.epoch == 0
    await writing.run(put(1))
    assert writing.epoch == 1
    assert await writing.begin() == 1


async def test_what_waits_shares_one_commit(store: Store, writing: Writer) -> None:
    commits = 0

    def count(_connection: Connection) -> None:
        nonlocal commits
        commits += 1

    await writing.begin()
    gate = Gate()
    held = asyncio.ensure_future(writing.run(gate))
    await asyncio.to_thread(gate.reached.wait, 30)
    waiting = [asyncio.ensure_future(writing.run(put(slot))) for slot in range(50)]
    await asyncio.sleep(0)
    sa.event.listen(store.engine, "commit", count)
    gate.open.set()
    await asyncio.gather(held, *waiting)
    assert commits == 2
    assert slots(store) == list(range(50))


async def test_one_that_fails_takes_nothing_from_the_others(store: Store, writing: Writer) -> None:
    def wrong(connection: Connection) -> None:
        put(99)(connection)
        raise InvalidRequest("no", field="x")

    await writing.begin()
    gate = Gate()
    held = asyncio.ensure_future(writing.run(gate))
    await asyncio.to_thread(gate.reached.wait, 30)
    batch = [writing.run(put(1)), writing.run(wrong), writing.run(put(1)), writing.run(put(2))]
    answers = asyncio.gather(*batch, return_exceptions=True)
    await asyncio.sleep(0)
    gate.open.set()
    await held
    first, refused, twice, last = await answers
    assert (first, last) == (1, 2)
    assert isinstance(refused, InvalidRequest)
    assert isinstance(twice, ReceptionError)
    assert slots(store) == [1, 2]


async def test_a_lone_failure_leaves_nothing(store: Store, writing: Writer) -> None:
    def wrong(connection: Connection) -> None:
        put(99)(connection)
        raise InvalidRequest("no", field="x")

    with pytest.raises(InvalidRequest):
        await writing.run(wrong)
    assert slots(store) == []
    assert await writing.run(put(1)) == 1


async def test_a_replaced_writer_is_refused_for_ever(store: Store, writing: Writer) -> None:
    await writing.run(put(1))
    successor = Writer(store, "cost")
    await successor.run(put(2))
    for _ in range(2):
        with pytest.raises(Fenced):
            await writing.run(put(3))
    successor.close()
    assert slots(store) == [1, 2]


async def test_singletons_do_not_fence_each_other(store: Store, writing: Writer) -> None:
    other = Writer(store, "health")
    await writing.run(put(1))
    await other.run(put(2))
    await writing.run(put(3))
    other.close()


async def test_the_queue_is_bounded(
    store: Store, writing: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_WAITING", 3)
    small = Writer(store, "health")
    gate = Gate()
    waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(small.run(gate))]
    await asyncio.to_thread(gate.reached.wait, 30)
    waiting += [asyncio.ensure_future(small.run(put(slot))) for slot in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(LimitReached):
        await small.run(put(9))
    gate.open.set()
    await asyncio.gather(*waiting)
    small.close()


async def test_a_request_given_up_before_its_turn_is_not_done(
    store: Store, writing: Writer
) -> None:
    gate = Gate()
    held = asyncio.ensure_future(writing.run(gate))
    await asyncio.to_thread(gate.reached.wait, 30)
    given_up = asyncio.ensure_future(writing.run(put(1)))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    gate.open.set()
    await held
    await writing.run(put(2))
    assert slots(store) == [2]


async def test_closing_finishes_what_waits(store: Store, writing: Writer) -> None:
    gate = Gate()
    waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(writing.run(gate))]
    await asyncio.to_thread(gate.reached.wait, 30)
    waiting += [asyncio.ensure_future(writing.run(put(slot))) for slot in range(5)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(asyncio.to_thread(writing.close))
    gate.open.set()
    await asyncio.gather(closing, *waiting)
    assert slots(store) == list(range(5))
    with pytest.raises(Unavailable, match="closed"):
        await writing.run(put(9))


async def test_a_locked_database_is_said_to_be_unavailable(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = Store.open(sqlite_url)
    monkeypatch.setattr("actors.storage.engine.BUSY_TIMEOUT_MS", 1)
    blocked = Store.open(sqlite_url)
    waiting = Writer(blocked, "cost")
    with blocker.transaction():
        with pytest.raises(Unavailable, match="locked") as caught:
            await waiting.run(put(1))
        assert caught.value.retryable
    assert await waiting.run(put(1)) == 1
    waiting.close()
    for opened in (blocker, blocked):
        opened.close()


async def test_a_rehearsal_leaves_nothing_behind(store: Store, writing: Writer) -> None:
    seen: list[int] = []

    def work(connection: Connection) -> None:
        put(3)(connection)
        rows = sa.select(sa.func.count(schema.spending.c.slot_s))
        seen.append(connection.execute(rows).scalar_one())

    await writing.rehearse(work)
    assert seen == [1]
    assert slots(store) == []
    assert await writing.run(put(7)) == 7
    assert slots(store) == [7]


class Ledger:
    """Counts in memory, writes at the end of a commit."""

    def __init__(self) -> None:
        self.count, self.lost_times, self.fails = 0, 0, False
        self.sizes: list[int] = []

    def begin(self, connection: Connection, works: Sequence[Work]) -> None:
        if self.count == 0:
            highest = sa.select(sa.func.coalesce(sa.func.max(schema.spending.c.slot_s), 0))
            self.count = connection.execute(highest).scalar_one()
        self.sizes.append(len(works))

    def add(self, _connection: Connection) -> int:
        self.count += 1
        return self.count

    def refuse(self, _connection: Connection) -> None:
        raise InvalidRequest("no", field="x")

    def end(self, connection: Connection, epoch: int) -> None:
        if self.fails:
            raise Unavailable("the disk is full")
        put(self.count, epoch)(connection)

    def lost(self) -> None:
        self.count, self.lost_times = 0, self.lost_times + 1


async def test_what_surrounds_a_commit_writes_once_for_all(store: Store) -> None:
    ledger = Ledger()
    writing = Writer(store, "cost", ledger)
    gate = Gate()
    first = asyncio.ensure_future(writing.run(gate))
    await asyncio.to_thread(gate.reached.wait, 30)
    works: list[Work] = [ledger.add, ledger.refuse, ledger.add]
    waiting = [asyncio.ensure_future(writing.run(work)) for work in works]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    one, refused, two = await asyncio.gather(*waiting, return_exceptions=True)
    assert (one, two) == (1, 2)
    assert isinstance(refused, InvalidRequest)
    assert ledger.sizes == [1, 3]
    assert slots(store) == [0, 2]
    writing.close()


async def test_what_was_not_written_is_not_remembered(store: Store) -> None:
    ledger = Ledger()
    writing = Writer(store, "cost", ledger)
    assert await writing.run(ledger.add) == 1
    ledger.fails = True
    with pytest.raises(Unavailable, match="full"):
        await writing.run(ledger.add)
    ledger.fails = False
    assert ledger.lost_times == 1
    assert await writing.run(ledger.add) == 2
    assert slots(store) == [1, 2]
    writing.close()


async def test_a_mistake_in_one_request_is_that_ones_alone(store: Store) -> None:
    ledger = Ledger()
    writing = Writer(store, "cost", ledger)

    def wrong(connection: Connection) -> None:
        ledger.add(connection)
        raise KeyError("half done")

    gate = Gate()
    first = asyncio.ensure_future(writing.run(gate))
    await asyncio.to_thread(gate.reached.wait, 30)
    works: list[Work] = [ledger.add, wrong, ledger.add]
    waiting = [asyncio.ensure_future(writing.run(work)) for work in works]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    one, failed, two = await asyncio.gather(*waiting, return_exceptions=True)
    assert (one, two) == (1, 2)
    assert isinstance(failed, KeyError)
    assert ledger.sizes == [1, 3, 1, 1, 1]
    assert slots(store) == [0, 1, 2]
    writing.close()


def test_an_answer_to_a_loop_that_is_gone_hurts_nobody(store: Store) -> None:
    gate = Gate()
    writing = Writer(store, "cost")

    async def ask_and_leave() -> None:
        waiting = asyncio.ensure_future(writing.run(gate))
        await asyncio.to_thread(gate.reached.wait, 30)
        waiting.cancel()

    asyncio.run(ask_and_leave())
    gate.open.set()
    assert asyncio.run(writing.run(put(1))) == 1
    writing.close()
