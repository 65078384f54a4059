"""A whole run: a cluster under load, fault after fault, each judged by itself."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.spawn import AT_ONCE
from cluster.chaos import history as h
from cluster.chaos.books import Books
from cluster.chaos.caller import ChaosCaller
from cluster.chaos.faults import FAULTS, IDLE_S, Fault, Scene, Struck, known_to, status
from cluster.chaos.invariants import Violation
from cluster.chaos.provider import Provider
from cluster.chaos.schedule import Try
from cluster.chaos.summary import Report
from cluster.chaos.tones import VOICES, voice_hz
from cluster.load.measures import Measures
from cluster.load.ticker import Ticker
from cluster.local import LocalCluster, Member
from reception.errors import InvalidRequest, ReceptionError, Unavailable

MOST_CALLS = VOICES
BETWEEN_CALLS_S = 0.1
ANSWERED_S = 30.0
SETTLED_S = 4.0  # after the fault is over, until the callers hang up
TALKERS = 3  # one caller in so many talks, the others listen
ENDS_S = 40.0
WRITTEN_S = 40.0
TOGETHER_S = 90.0
LOOK_S = 0.5
SLACK_S = 3.0
LIMIT_USD = 5_000.0
USUAL = os.getpriority(os.PRIO_PROCESS, 0)

Tell = Callable[[Try, str], None]
Judged = Callable[[Try, list[Violation], Report], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """tries: in order. calls: live in each. every_s: callers come so far apart, and while a
    fault goes on one hangs up whenever another comes; 0: the same all the time. keep: a
    folder for histories; None for none."""

    tries: Sequence[Try]
    calls: int = 30
    every_s: float = 0.0
    nodes: int = 3
    pool: int = 8
    keep: Path | None = None


def run(plan: Plan, tell: Tell, judged: Judged) -> Report:
    """All tries, telling how each goes, what it violated, and the report so far. Ctrl-C
    ends the run with the try that is on; what was tried until then is reported.

    Raises:
        InvalidRequest: more calls than there are voices.
        Unavailable: the cluster does not come up.
    """
    if not 1 <= plan.calls <= MOST_CALLS:
        text = f"calls must be from 1 to {MOST_CALLS}, not {plan.calls}"
        raise InvalidRequest(text, field="calls")
    report = Report()
    interrupted = contextlib.suppress(KeyboardInterrupt)
    with _scene(plan) as (scene, books), asyncio.Runner() as runner, interrupted:
        for each in plan.tries:
            broken = runner.run(_Trial(scene, books, plan, each, tell).run(report))
            judged(each, broken, report)
    return report


@contextmanager
def _scene(plan: Plan) -> Iterator[tuple[Scene, Books]]:
    """A cluster in a folder of its own, and its provider; nothing of them is left."""
    with tempfile.TemporaryDirectory(prefix="c-") as name, contextlib.ExitStack() as stack:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        stack.callback(signal.signal, signal.SIGTERM, before)
        folder = Path(name)
        provider = Provider(folder)
        url = provider.start()
        stack.callback(provider.stop)
        limits = {f"cost_limit_{each}": str(LIMIT_USD)
                  for each in ("hourly", "daily", "weekly", "monthly")}  # fmt: skip
        cluster = LocalCluster(folder, limits | {
            "provider": "embedded", "provider_base_url": url, "model": "scripted",
            "insecure_dev": "true", "pool_size": str(plan.pool), "drain_grace_s": "1",
            "idle_timeout_s": str(IDLE_S), "rate_limit_per_minute": "100000",
            "rate_limit_per_hour": "1000000",
        })  # fmt: skip
        stack.callback(cluster.stop)
        cluster.start(plan.nodes)
        _be_prompt()
        database = folder / "reception.db"
        books = Books(f"sqlite:///{database}", provider, int(LIMIT_USD * 1_000_000))
        stack.callback(books.close)
        yield Scene(cluster, provider, database), books


class _Trial:
    """One try."""

    def __init__(self, scene: Scene, books: Books, plan: Plan, this: Try, tell: Tell) -> None:
        self._scene, self._books, self._plan, self._try = scene, books, plan, this
        self._fault: Fault = FAULTS[this.fault]
        self._teller = tell
        self._events: list[h.Event] = []
        self._measures = Measures()
        self._ticker = Ticker(self._measures)

    async def run(self, report: Report) -> list[Violation]:
        """Adds to the report; what was violated."""
        scene = self._scene
        scene.rng = self._try.rng()
        await self._be_whole()
        number, calls = self._try.number, self._plan.calls
        self._note(h.Began(self._try.fault, number, calls, IDLE_S + SLACK_S))
        async with self._beside(self._ticker.run()), self._beside(self._watch_money()):
            await self._with_calls()
        late_ms = self._measures.durations["tick_late"].percentile_ms(99)
        self._note(h.Driver(late_ms or 0.0))
        history = tuple(self._events)
        if self._plan.keep is not None:
            self._plan.keep.mkdir(parents=True, exist_ok=True)
            path = self._plan.keep / f"{self._try.fault}-{number}.jsonl"
            path.write_text("".join(h.to_line(each) + "\n" for each in history), "utf-8")
        return report.add(self._try.fault, history)

    def _tell(self, words: str) -> None:
        self._teller(self._try, words)

    def _note(self, event: h.Event) -> None:
        self._events.append(event)

    @asynccontextmanager
    async def _beside(self, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        task = asyncio.create_task(work)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch_money(self) -> None:
        while True:
            self._note(await asyncio.to_thread(self._books.money))
            await asyncio.sleep(1.0)

    # ------------------------------------------------------------- the cluster

    async def _be_whole(self) -> None:
        """As many nodes as there should be, which know each other."""
        scene = self._scene
        lacking = self._plan.nodes - len(scene.nodes())
        if lacking > 0:
            self._tell("a new node")
            await asyncio.to_thread(_add, scene.cluster, lacking)
        self._tell("waiting until the nodes know each other")
        until_s = time.monotonic() + TOGETHER_S
        while not await _together(scene.nodes()):
            if time.monotonic() > until_s:
                raise Unavailable(f"the nodes do not find each other within {TOGETHER_S:g} s")
            await asyncio.sleep(LOOK_S)

    # ------------------------------------------------------------- the calls

    async def _with_calls(self) -> None:
        scene, plan = self._scene, self._plan
        self._tell(f"{plan.calls} callers")
        running: dict[asyncio.Task[None], ChaosCaller] = {}
        for number in range(plan.calls):
            caller = self._caller(number)
            running[asyncio.create_task(caller.run())] = caller
            await asyncio.sleep(plan.every_s or BETWEEN_CALLS_S)
        answered = [asyncio.create_task(caller.answered.wait()) for caller in running.values()]
        await asyncio.wait(answered, timeout=ANSWERED_S)
        for each in answered:
            each.cancel()
        scene.callers = [each for each in running.values() if each.session_id]
        if not scene.callers:
            raise Unavailable("no call was accepted: there is nothing to try a fault on")
        await asyncio.sleep(self._try.delay_s)
        async with self._beside(self._come_and_go(running)):
            await self._strike()
        self._tell("the callers hang up")
        for caller in running.values():
            caller.hang_up()
        await asyncio.wait(running, timeout=ENDS_S)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        scene.callers = [each for each in running.values() if each.session_id]
        await self._audit([caller.call_id for caller in scene.callers])

    async def _come_and_go(self, running: dict[asyncio.Task[None], ChaosCaller]) -> None:
        """One more caller, and one less: who came first leaves first."""
        leaving = iter(list(running.values()))
        while self._plan.every_s:
            await asyncio.sleep(self._plan.every_s)
            next(leaving).hang_up()
            caller = self._caller(len(running))
            running[asyncio.create_task(caller.run())] = caller
            leaving = itertools.chain(leaving, [caller])

    def _caller(self, number: int) -> ChaosCaller:
        this, scene = self._try, self._scene
        offset = number + this.number

        def doors() -> list[str]:
            found = [node.grpc_address for node in scene.nodes()]
            return found[offset % len(found) :] + found[: offset % len(found)]

        return ChaosCaller(
            f"{this.fault}-{this.number}-{number}",
            voice_hz(number + 7 * this.number),
            listens=number % TALKERS != 0,
            doors=doors,
            ticker=self._ticker,
            note=self._note,
            cable=self._fault.cables,
        )

    async def _strike(self) -> None:
        self._tell(self._fault.what)
        at_s = time.monotonic()
        try:
            struck = await self._fault.strike(self._scene)
        except ReceptionError as error:
            struck = Struck(f"nothing: {error.message}", ())
        until_s = time.monotonic() + self._fault.within_s
        self._note(h.Injected(struck.what, struck.hit, at_s, until_s))
        self._tell(f"{self._fault.what}: {struck.what}")
        await asyncio.sleep(until_s + SETTLED_S - time.monotonic())

    async def _audit(self, call_ids: Sequence[str]) -> None:
        """Once all is written that will be."""
        self._tell("reading the books")
        until_s = time.monotonic() + WRITTEN_S
        while time.monotonic() < until_s:
            if await asyncio.to_thread(self._books.settled, call_ids):
                busy = await self._busy()
                if not any(each.live or each.sessions for each in busy):
                    break
            await asyncio.sleep(LOOK_S)
        for each in [*await self._busy(), *await asyncio.to_thread(self._books.audit, call_ids)]:
            self._note(each)

    async def _busy(self) -> list[h.Busy]:
        found = []
        for node in self._scene.nodes():
            with contextlib.suppress(ReceptionError):
                told = (await status(node))["node"]
                found.append(h.Busy(node.node_id, told["live"], told["pool"]["leased"]))
        return found


def _be_prompt() -> None:
    """The callers' thread comes before all that is not as urgent, as the cluster's own
    audio does; without the privilege it stays as it is."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), AT_ONCE)


def _add(cluster: LocalCluster, count: int) -> None:
    """Nodes that do not inherit the callers' priority."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), USUAL)
    cluster.add(count)


async def _together(nodes: Sequence[Member]) -> bool:
    """Every node hears of every node, and of no other."""
    wanted = {node.node_id for node in nodes}
    try:
        known = await asyncio.gather(*(known_to(node) for node in nodes))
    except Unavailable:
        return False
    return all(each == wanted for each in known)


def pool_for(calls: int, nodes: int) -> int:
    """Sessions that each node keeps ready: enough for what a lost node leaves."""
    return max(2, math.ceil(calls / nodes / max(1, nodes - 1)) + 2)
