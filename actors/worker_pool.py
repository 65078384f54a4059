"""The audio workers of a node: started, watched, replaced, told how much to do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from ray.exceptions import RayError

from actors.assignment import NodeConfig, ProviderConfig
from actors.effort import AUTO, CHANGES_KEPT, Change, News
from actors.link_tls import Credentials
from actors.spawn import Remote, spawn
from actors.tasks import Tasks
from reception.errors import CallIdInUse, Unavailable
from reception.media.adaptation import Level
from reception.media.codecs import AudioFormat
from reception.media.uplink import choose as choose_format
from reception.placement.admission.concurrency import NodeLoad
from reception.placement.admission.provider_limits import NodeUse
from reception.placement.recycling import Recycling, Step, Weight
from reception.placement.sizer import NodeMemory
from reception.placement.workers import Leg, Measured
from reception.placement.workers import choose as choose_worker

log = structlog.get_logger()

START_TIMEOUT_S = 60.0
START_AGAIN_S = 5.0
STOP_TIMEOUT_S = 2.0
LAST_RECORDING_S = 30.0  # that a worker without calls may take to write to its end
NEWS_TIMEOUT_S = 30.0
NOTHING = -1  # is known of a worker's news


class WorkerPool:
    """A node's audio workers by their ids; a worker's socket is for front doors."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._workers: dict[str, Remote] = {}
        self._sockets: dict[str, str] = {}  # of dead ones too: who asks has to know
        self._addresses: dict[str, str] = {}  # likewise
        self._credentials: Credentials | None = None
        self._news: dict[str, News] = {}
        self._measured: dict[str, Measured] = {}
        self._weights: dict[str, Weight] = {}
        self._recycling = Recycling(config.recycling)
        self._changes: deque[dict[str, Any]] = deque(maxlen=CHANGES_KEPT)
        self._level = AUTO
        self._provider: ProviderConfig | None = None
        self._started, self._numbers = 0, config.workers
        self._closing = False
        self._tasks = Tasks()

    async def start(self) -> None:
        """Starts them; ready when back."""
        await asyncio.gather(*(self._start(number) for number in range(self._config.workers)))

    async def serve(self, provider: ProviderConfig) -> None:
        """The provider is known: warms everything up that the first call needs."""
        self._provider = provider
        await asyncio.gather(*(self._warm_up(worker) for worker in self._workers.values()))

    async def stop(self) -> None:
        """Ends them and whatever they still do."""
        self._closing = True
        self._tasks.cancel()
        for worker in self._workers.values():
            with contextlib.suppress(RayError, TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await worker.stop()
            worker.kill()

    def names(self) -> list[str]:
        """Of those that live."""
        return list(self._workers)

    def socket(self, worker_id: str) -> str:
        """Of one that lives or lived."""
        return self._sockets[worker_id]

    def address(self, worker_id: str) -> str:
        """Where front doors of other nodes reach one that lives or lived.

        Raises:
            Unavailable: they can't (yet).
        """
        if worker_id not in self._addresses:
            raise Unavailable("this node is not open to others yet", retry_after_s=1.0)
        return self._addresses[worker_id]

    def open(self, credentials: Credentials) -> None:
        """Lets front doors of other nodes in, or shows them a newer certificate."""
        self._credentials = credentials
        for worker_id, worker in self._workers.items():
            self._tasks.begin(self._open(worker_id, worker, credentials))

    async def _open(self, worker_id: str, worker: Remote, credentials: Credentials) -> None:
        with contextlib.suppress(RayError):  # it is dying, and watched
            self._addresses[worker_id] = await worker.open(self._config.host, credentials)

    def provider_format(self, worker_id: str, leg: AudioFormat) -> str:
        """What the provider gets for a leg at this worker."""
        news = self._news[worker_id]
        return choose_format(leg, tight=news.uplink_tight, light=news.light)

    async def set_level(self, level: str, by: str) -> None:
        """What they do for their calls: a level's name, or "auto" (the load decides).

        Raises:
            InvalidRequest: no such level.
        """
        if level != AUTO:
            Level.of(level)
        self._level = level
        await asyncio.gather(*(worker.set_level(level, by) for worker in self._workers.values()))

    async def give_up(self, worker_id: str, lease_id: str) -> None:
        """No session goes on with a call: its worker need not wait for one."""
        with contextlib.suppress(RayError, KeyError):
            await self._workers[worker_id].give_up(lease_id)

    async def let_go(self, worker_id: str, lease_id: str) -> None:
        """Another node has the call."""
        with contextlib.suppress(RayError, KeyError):
            await self._workers[worker_id].let_go(lease_id)

    async def refuse(self, worker_id: str, lease_id: str, error: CallIdInUse) -> bool:
        """A call ends with this error. False: its worker has no such call."""
        with contextlib.suppress(RayError, KeyError):
            worker = self._workers[worker_id]
            return bool(await worker.refuse(lease_id, error.message, error.field))
        return False

    async def hand_over(self, worker_id: str, lease_id: str) -> None:
        """A call is to go on at another node."""
        with contextlib.suppress(RayError, KeyError):
            await self._workers[worker_id].hand_over(lease_id)

    async def load(self) -> NodeLoad:
        """What all of them measured in the last second: CPU is the share of one core
        that the busiest took. A worker that is dying counts for nothing."""
        workers, now_s = list(self._workers.items()), time.monotonic()
        found = await asyncio.gather(
            *(worker.stats() for _, worker in workers), return_exceptions=True
        )
        told = {
            name: each
            for (name, worker), each in zip(workers, found, strict=True)
            if isinstance(each, dict) and self._workers.get(name) is worker
        }
        self._measured |= {
            name: Measured(each["cpu_percent"], each["lag_p95_ms"], now_s)
            for name, each in told.items()
        }
        self._weights = {
            name: Weight(each["resident_mb"], round(each["live"])) for name, each in told.items()
        }
        measured = told.values()
        return NodeLoad(
            sum(each["misses_per_s"] for each in measured),
            max((each["lag_p95_ms"] for each in measured), default=0.0),
            max((each["cpu_percent"] for each in measured), default=0.0),
        )

    def choose(self, legs: Iterable[Leg], without: str = "") -> str | None:
        """The worker for the next call, by what `load` heard last; None: there is none.

        Args:
            legs: of all live calls.
            without: not this one.
        """
        workers = [each for each in self._workers if each != without]
        return choose_worker(self._recycling.takes(workers), self._measured, legs)

    def recycle(self, legs: Iterable[Leg], memory: NodeMemory) -> None:
        """Has a worker replaced that has grown, by what `load` heard last: no call is moved
        or ended for it.

        Args:
            legs: of all live calls, those among them that the workers do not know yet.
            memory: of the node.
        """
        begun = Counter(leg.worker for leg in legs)
        weights = {
            name: Weight(each.resident_mb, max(each.calls, begun[name]))
            for name, each in self._weights.items()
            if name in self._workers
        }
        order = self._recycling.observe(weights, memory)
        if order is None or self._closing:
            return
        told = {"worker": order.worker, "step": order.step.name, "reason": order.reason}
        log.warning("audio worker has grown", **told)
        if order.step is Step.START:
            self._tasks.begin(self._start_in_place_of(order.worker))
        elif order.step is Step.STOP:
            worker = self._workers.pop(order.worker)
            self._recycling.gone(order.worker)
            self._tasks.begin(self._retire(worker))

    async def _start_in_place_of(self, worker_id: str) -> None:
        number, self._numbers = self._numbers, self._numbers + 1
        while True:
            try:
                await self._start(number)
                break
            except (RayError, TimeoutError):
                log.exception("audio worker did not start", in_place_of=worker_id)
                await asyncio.sleep(START_AGAIN_S)
        self._recycling.started(worker_id)

    async def _retire(self, worker: Remote) -> None:
        """Of one that has no call, and is not in the pool any more."""
        try:
            with contextlib.suppress(RayError, TimeoutError):
                async with asyncio.timeout(LAST_RECORDING_S):
                    await worker.stop()
        finally:
            worker.kill()

    async def legs(self) -> dict[str, str]:
        """The lease ids of their calls, and which worker has each. Raises RayError when
        one of them does not answer."""
        names = self.names()
        found = await asyncio.gather(*(self._workers[name].legs() for name in names))
        return {
            lease_id: name for name, leases in zip(names, found, strict=True) for lease_id in leases
        }

    async def provider_use(self) -> NodeUse:
        """Of all of them. What a worker that is dying knew is known no more."""
        found = await asyncio.gather(
            *(worker.provider_use() for worker in self._workers.values()), return_exceptions=True
        )
        told = [each for each in found if isinstance(each, NodeUse)]
        return NodeUse.of(self._config.node_id, told, time.monotonic())

    async def report(self) -> dict[str, Any]:
        """What they do and measure, and what changed lately and why."""
        names = self.names()
        measured = await asyncio.gather(*(self._workers[name].stats() for name in names))
        workers = {
            name: {"level": news.level, "uplink_tight": news.uplink_tight, **stats}
            for name, stats in zip(names, measured, strict=True)
            if (news := self._news.get(name)) is not None
        }
        return {"level": self._level, "workers": workers, "changes": list(self._changes)}

    async def _start(self, number: int) -> None:
        config = self._config
        worker_id = f"{config.node_id}-w{number}"
        self._started += 1  # a new path each time: the old one leads nowhere
        path = str(Path(config.socket_dir) / f"w{number}-{self._started}.sock")
        worker = spawn(
            "actors.worker:AudioWorker",
            worker_id,
            path,
            config.recordings_path,
            config.targets,
            config.resume_wait_s,
            config.agent_socket,
            pooled=True,
        )
        async with asyncio.timeout(START_TIMEOUT_S):
            socket = await worker.start()
            await self._warm_up(worker)
            if self._level != AUTO:
                await worker.set_level(self._level, "the node's setting")
            news = await worker.news(NOTHING, 0.0)
        self._sockets[worker_id], self._news[worker_id] = socket, news
        if self._credentials is not None:
            await self._open(worker_id, worker, self._credentials)
        self._workers[worker_id] = worker
        self._tasks.begin(self._watch(number, worker_id, worker))

    async def _warm_up(self, worker: Remote) -> None:
        if self._provider is not None:
            provider = self._provider
            await worker.warm_up(provider.provider, provider.base_url, provider.model)

    async def _watch(self, number: int, worker_id: str, worker: Remote) -> None:
        """Hears what a worker changes in what it does; replaces it when it dies."""
        try:
            while True:
                after = self._news[worker_id].number
                self._news[worker_id] = news = await worker.news(after, NEWS_TIMEOUT_S)
                for change in news.changes:
                    self._note(worker_id, change)
        except RayError:
            self._measured.pop(worker_id, None)
            if self._workers.get(worker_id) is not worker:
                return  # it was retired
            del self._workers[worker_id]
            log.warning("audio worker lost", worker=worker_id)
            if not (self._recycling.gone(worker_id) or self._closing):
                await self._start(number)

    def _note(self, worker_id: str, change: Change) -> None:
        fields = {
            name: str(value) if isinstance(value, Level) else value
            for name, value in asdict(change).items()
            if name != "at_s"  # on that process's clock
        }
        log.warning("audio worker adapts", worker=worker_id, **fields)
        self._changes.append({"worker": worker_id, "at": time.time(), **fields})
