"""A node's audio workers that are no processes; no Ray runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from ray.exceptions import RayActorError

from actors import worker_pool
from actors.assignment import NodeConfig, ProviderConfig
from actors.effort import News
from actors.worker_pool import WorkerPool
from reception.errors import InvalidRequest
from reception.media.adaptation import Level, LevelChanged
from reception.media.codecs import AudioFormat
from reception.placement.admission.concurrency import NodeLoad
from reception.placement.admission.provider_limits import CallUse, NodeUse
from reception.placement.pool import PoolRules
from reception.placement.recycling import RecyclingRules
from reception.placement.sizer import NodeMemory
from reception.placement.workers import Leg
from tests.waiting import patience

TELEPHONE = AudioFormat("l16", 8_000)


class FakeWorker:
    """What a handle of a worker offers; its news are the test's."""

    def __init__(self, _: str, worker_id: str, path: str, *__: Any) -> None:
        self.worker_id, self.path = worker_id, path
        self.told = News(0, "quality", False, False, False, ())
        self.levels: list[tuple[str, str]] = []
        self.warmed: list[str] = []
        self.stopped = self.killed = False
        self.changed = asyncio.Event()
        self.dead = False
        self.measured: dict[str, float] = {}
        self.live, self.resident_mb = 2, 100.0
        self.starts = True

    async def start(self) -> str:
        if not self.starts:
            raise RayActorError
        return self.path

    async def warm_up(self, provider: str, *_: str) -> None:
        self.warmed.append(provider)

    async def set_level(self, level: str, by: str) -> None:
        self.levels.append((level, by))

    async def news(self, after: int, timeout_s: float) -> News:
        while self.told.number <= after and timeout_s:
            await self.changed.wait()
            self.changed.clear()
            if self.dead:
                raise RayActorError
        return self.told

    async def stats(self) -> dict[str, float]:
        if self.dead:
            raise RayActorError
        calm = {"misses_per_s": 0.0, "lag_p95_ms": 1.0, "cpu_percent": 5.0}
        return {"live": self.live, "resident_mb": self.resident_mb} | calm | self.measured

    async def legs(self) -> list[str]:
        if self.dead:
            raise RayActorError
        return [f"l-{self.worker_id}"]

    async def provider_use(self) -> NodeUse:
        if self.dead:
            raise RayActorError
        return NodeUse("", {self.worker_id: CallUse(1, 10)})

    async def stop(self) -> None:
        self.stopped = True

    def tell(self, news: News) -> None:
        self.told = news
        self.changed.set()

    def die(self) -> None:
        self.dead = True
        self.changed.set()

    def kill(self) -> None:
        self.killed = True
        self.die()


@pytest.fixture
def started(monkeypatch):
    workers: list[FakeWorker] = []

    def spawn(*args: Any, pooled: bool) -> FakeWorker:
        workers.append(FakeWorker(*args))
        return workers[-1]

    monkeypatch.setattr(worker_pool, "spawn", spawn)
    return workers


@pytest.fixture
async def pool(started):
    rules = RecyclingRules(limit_mb=300.0, memory_percent=80.0)
    config = NodeConfig("n", "/run", "", "", PoolRules(1, 2), workers=2, recycling=rules)
    pool = WorkerPool(config)
    await pool.start()
    yield pool
    await pool.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with patience():
        while not condition():
            await asyncio.sleep(0)


async def test_it_starts_them_warms_them_and_ends_them(pool, started):
    assert pool.names() == ["n-w0", "n-w1"]
    assert {pool.socket(name) for name in pool.names()} == {worker.path for worker in started}
    await pool.serve(ProviderConfig("embedded", "url", "m"))
    await pool.stop()
    assert all(each.warmed == ["embedded"] and each.stopped and each.killed for each in started)


async def test_a_dead_one_is_replaced_by_one_that_is_told_everything(pool, started):
    await pool.serve(ProviderConfig("embedded", "url", "m"))
    await pool.set_level("economy", "key k")
    old = pool.socket("n-w0")
    started[0].die()
    await until(lambda: len(started) == 3 and pool.socket("n-w0") != old)
    assert sorted(pool.names()) == ["n-w0", "n-w1"]
    assert started[2].warmed == ["embedded"]
    assert started[2].levels == [("economy", "the node's setting")]


async def test_a_level_goes_to_all_and_nonsense_to_none(pool, started):
    await pool.set_level("auto", "key k")
    with pytest.raises(InvalidRequest, match="level is 'fast'"):
        await pool.set_level("fast", "key k")
    assert [worker.levels for worker in started] == [[("auto", "key k")]] * 2


async def test_what_a_worker_changes_is_reported_with_its_reason(pool, started):
    change = LevelChanged(5.0, Level.QUALITY, Level.ECONOMY, "cpu 90 >= 80")
    started[0].tell(News(1, "economy", False, False, True, (change,)))
    await until(lambda: bool(pool._changes))
    report = await pool.report()
    worker = report["workers"]["n-w0"]
    assert (worker["level"], worker["uplink_tight"], worker["live"]) == ("economy", False, 2)
    assert report["workers"]["n-w1"]["level"] == "quality"
    [told] = report["changes"]
    assert (told["worker"], told["before"], told["after"]) == ("n-w0", "quality", "economy")
    assert told["reason"] == "cpu 90 >= 80"


async def test_calls_go_narrow_where_their_worker_says_so(pool, started):
    assert pool.provider_format("n-w0", TELEPHONE) == "pcm24k"
    started[0].tell(News(1, "economy", False, False, True, ()))
    await until(lambda: pool.provider_format("n-w0", TELEPHONE) == "pcmu")
    assert pool.provider_format("n-w1", TELEPHONE) == "pcm24k"
    started[1].tell(News(1, "quality", False, True, False, ()))
    await until(lambda: pool.provider_format("n-w1", AudioFormat("l16", 48_000)) == "pcmu")


async def test_the_worker_for_a_call_is_chosen_by_what_they_measured(pool, started):
    for worker, cpu in zip(started, (60.0, 20.0), strict=True):
        worker.measured = {"misses_per_s": 1.0, "lag_p95_ms": cpu / 10, "cpu_percent": cpu}
    assert pool.choose([]) == "n-w0"  # nothing is known yet
    assert await pool.load() == NodeLoad(2.0, 6.0, 60.0)
    calls = [Leg("n-w1", 1.0, 0.0)] * 10
    assert pool.choose(calls) == "n-w1"
    assert pool.choose(calls, without="n-w1") == "n-w0"
    started[1].dead = True
    assert await pool.load() == NodeLoad(1.0, 6.0, 60.0)
    assert pool.choose(calls) == "n-w1"  # as it was last


async def test_what_a_dead_worker_measured_is_not_the_next_ones(pool, started):
    started[0].measured["cpu_percent"] = 80.0
    await pool.load()
    assert pool.choose([]) == "n-w1"
    started[0].die()
    await until(lambda: len(started) == 3 and len(pool.names()) == 2)
    assert pool.choose([]) == "n-w0"


async def test_whose_legs_they_are_is_known_only_when_all_answer(pool, started):
    assert await pool.legs() == {"l-n-w0": "n-w0", "l-n-w1": "n-w1"}
    started[0].dead = True
    with pytest.raises(RayActorError):
        await pool.legs()


async def test_what_the_provider_is_used_for_is_that_of_those_that_live(pool, started):
    assert (await pool.provider_use()).calls == {"n-w0": CallUse(1, 10), "n-w1": CallUse(1, 10)}
    started[0].dead = True
    use = await pool.provider_use()
    assert (use.node_id, use.calls) == ("n", {"n-w1": CallUse(1, 10)})


# ------------------------------------------------------------------ recycling


ROOM, SHORT = NodeMemory(500.0, 1_000.0), NodeMemory(900.0, 1_000.0)
ONE_CALL = Leg("n-w0", 1.0, 0.0)


async def looked(pool, legs=(), memory=SHORT):
    """What the node does each second."""
    await pool.load()
    pool.recycle(legs, memory)


async def grown(pool, started, memory=SHORT):
    """The first one, with a call, after all weighed the same."""
    await looked(pool)
    started[0].resident_mb = 200.0
    await looked(pool, [ONE_CALL], memory)


async def test_a_worker_that_has_grown_is_replaced_once_its_last_call_is_over(pool, started):
    await pool.set_level("economy", "key k")
    await grown(pool, started)
    assert {pool.choose([Leg("n-w1", 1.0, 0.0)] * count) for count in (0, 1, 9)} == {"n-w1"}
    started[0].live = 0
    await looked(pool, [ONE_CALL])  # which has not come to it yet
    started[0].live = 1
    await looked(pool)  # nor is it known that this one is over
    assert len(started) == 2
    started[0].live = 0
    await looked(pool)
    await until(lambda: pool.names() == ["n-w0", "n-w1", "n-w2"])
    assert started[2].levels == [("economy", "the node's setting")]
    assert pool.socket("n-w2") not in {started[0].path, started[1].path}
    await looked(pool)
    assert pool.names() == ["n-w1", "n-w2"]
    await until(lambda: started[0].killed)
    assert started[0].stopped
    await looked(pool)
    assert (len(started), pool.names()) == (3, ["n-w1", "n-w2"])
    assert pool.choose([Leg("n-w1", 1.0, 0.0)]) == "n-w2"


async def test_while_there_is_memory_a_worker_may_grow(pool, started):
    await grown(pool, started, ROOM)
    assert pool.choose([]) == "n-w0"


async def test_a_replacement_that_does_not_start_is_tried_again(pool, started, monkeypatch):
    monkeypatch.setattr(worker_pool, "START_AGAIN_S", 0.0)

    def spawn(*args: Any, pooled: bool) -> FakeWorker:
        worker = FakeWorker(*args)
        started.append(worker)
        worker.starts = len(started) == 5
        return worker

    monkeypatch.setattr(worker_pool, "spawn", spawn)
    await grown(pool, started)
    started[0].live = 0
    await looked(pool)
    await until(lambda: len(pool.names()) == 3)
    assert len(started) == 5


async def test_one_that_dies_while_its_replacement_starts_is_replaced_once(pool, started):
    await grown(pool, started)
    started[0].live = 0
    await looked(pool)
    started[0].die()
    await until(lambda: pool.names() == ["n-w1", "n-w2"])
    await asyncio.sleep(0)
    assert len(started) == 3


async def test_one_that_dies_with_its_calls_is_replaced_as_ever(pool, started):
    await grown(pool, started)
    started[0].die()
    await until(lambda: len(started) == 3 and len(pool.names()) == 2)
    assert sorted(pool.names()) == ["n-w0", "n-w1"]
    await looked(pool)
    assert pool.choose([Leg("n-w1", 1.0, 0.0)]) == "n-w0"
