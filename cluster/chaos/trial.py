"""One try of a fault: callers, the fault, and what the books say afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from actors.spawn import SOON
from cluster.chaos import history as h
from cluster.chaos import near
from cluster.chaos.asking import known_to, status
from cluster.chaos.books import Books
from cluster.chaos.caller import ChaosCaller
from cluster.chaos.faults import FAULTS, IDLE_S, Fault
from cluster.chaos.invariants import Violation
from cluster.chaos.logs import Logs
from cluster.chaos.scene import Scene, Struck
from cluster.chaos.schedule import Try
from cluster.chaos.summary import Report
from cluster.chaos.tones import voice_hz
from cluster.load.measures import Measures
from cluster.load.ticker import Ticker
from cluster.local import LocalCluster, Member
from reception.errors import ReceptionError, Unavailable

BETWEEN_CALLS_S = 0.1
ANSWERED_S = 30.0
SETTLED_S = 4.0  # after the fault is over, until the callers hang up
TALKERS = 3  # one caller in so many talks, the others listen
ENDS_S = 40.0
WRITTEN_S = 40.0
TOGETHER_S = 90.0
ROOM_S = 15.0
LOOK_S = 0.5
SLACK_S = 5.0  # with the idle time: 20 s

Tell = Callable[[Try, str], None]
Running = dict[asyncio.Task[None], ChaosCaller]


@dataclass(frozen=True, slots=True)
class Plan:
    """tries: in order. keep: a folder for history and logs of tries that broke a rule, or
    with `keep_all` of every one. calls: live in each. every_s: callers come so far apart,
    and while a fault goes on one hangs up whenever another comes; 0: the same all the time.
    database: of `databases.KINDS`. near: doors lease budget, hardly any money is left when
    the fault comes, and nobody hangs up for who comes meanwhile."""

    tries: Sequence[Try]
    keep: Path
    keep_all: bool = False
    calls: int = 30
    every_s: float = 0.0
    nodes: int = 3
    database: str = "sqlite"
    pool: int = 8
    near: bool = False


class Trial:
    """One try. Use `run` once."""

    def __init__(
        self, scene: Scene, books: Books, logs: Logs, plan: Plan, this: Try, tell: Tell
    ) -> None:
        self._scene, self._books, self._plan, self._try = scene, books, plan, this
        self._logs = logs
        self._fault: Fault = FAULTS[this.fault]
        self._teller = tell
        self._events: list[h.Event] = []
        self._measures = Measures()
        self._ticker = Ticker(self._measures)

    async def run(self, report: Report) -> list[Violation]:
        """Adds to the report; what was violated.

        Raises:
            Unavailable: it could not be tried; says where history and logs are.
        """
        self._logs.begin()
        try:
            await self._play()
        except ReceptionError as error:
            kept = keep(self._plan, self._logs, self._try, self._events)
            raise Unavailable(f"{error.message} (history and logs: {kept})") from error
        return judge(self._plan, self._logs, self._try, self._events, report)

    async def _play(self) -> None:
        scene = self._scene
        scene.rng = self._try.rng()
        await self._be_whole()
        self._note(h.Began(self._try.fault, self._try.number, self._plan.calls, IDLE_S + SLACK_S))
        async with self._beside(self._ticker.run()), self._beside(self._watch_money()):
            await self._with_calls()
        late_ms = self._measures.durations["tick_late"].percentile_ms(99)
        self._note(h.Driver(late_ms or 0.0))

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
            with contextlib.suppress(Unavailable):  # that may be the fault
                self._note(await asyncio.to_thread(self._books.money))
            await asyncio.sleep(1.0)

    # ------------------------------------------------------------- the cluster

    async def _be_whole(self) -> None:
        """As many nodes as there should be, which know each other and start nothing."""
        scene = self._scene
        lacking = self._plan.nodes - len(scene.nodes())
        if lacking > 0:
            self._tell("a new node")
            await asyncio.to_thread(_add, scene.cluster, lacking)
        self._tell("waiting until the nodes know each other")
        until_s = time.monotonic() + TOGETHER_S
        while not await _whole(scene.nodes(), self._plan.pool):
            if time.monotonic() > until_s:
                raise Unavailable(f"the nodes are not all there within {TOGETHER_S:g} s")
            await asyncio.sleep(LOOK_S)

    # ------------------------------------------------------------- the calls

    async def _with_calls(self) -> None:
        scene, plan = self._scene, self._plan
        if plan.near:
            before = await near.begun(scene)
            await near.leave(scene, self._books, near.ROOM_USD)
        self._tell(f"{plan.calls} callers")
        running: Running = {}
        scene.one_more = partial(self._one_more, running)
        for _ in range(plan.calls):
            self._one_more(running)
            await asyncio.sleep(plan.every_s or BETWEEN_CALLS_S)
        answered = [asyncio.create_task(caller.settled.wait()) for caller in running.values()]
        await asyncio.wait(answered, timeout=ANSWERED_S)
        for each in answered:
            each.cancel()
        scene.callers = [each for each in running.values() if each.session_id]
        if not scene.callers:
            raise Unavailable("no call was accepted: there is nothing to try a fault on")
        await self._until_there_is_room()
        if plan.near:
            await near.lent(scene)
            await near.leave(scene, self._books, near.LEFT_USD)
        await asyncio.sleep(self._try.delay_s)
        async with self._beside(self._come_and_go(running)):
            await self._strike()
        self._tell("the callers hang up")
        for caller in running.values():
            caller.hang_up()
        # whoever is away waits for nothing
        ending = [task for task, caller in running.items() if not caller.away]
        await asyncio.wait(ending, timeout=ENDS_S)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        scene.callers = [each for each in running.values() if each.session_id]
        if plan.near:
            for node_id, count in (await near.begun(scene)).items():
                self._note(h.OnLease(node_id, count - before.get(node_id, 0)))
        await self._audit([caller.call_id for caller in scene.callers])

    async def _until_there_is_room(self) -> None:
        """For what a lost node leaves: its sessions start beside the calls, on cores that a
        node of its own would not have to share. A few seconds at most: callers have answers
        of a minute."""
        plan = self._plan
        wanted = math.ceil(plan.calls / plan.nodes / (plan.nodes - 1)) + 1
        until_s = time.monotonic() + ROOM_S
        while time.monotonic() < until_s:
            with contextlib.suppress(Unavailable):
                told = await asyncio.gather(*(status(node) for node in self._scene.nodes()))
                if all(each["node"]["pool"]["ready"] >= wanted for each in told):
                    return
            await asyncio.sleep(LOOK_S)

    async def _come_and_go(self, running: Running) -> None:
        """One more caller, and one less: who came first leaves first. While money is short
        nobody leaves."""
        leaving = iter(list(running.values()))
        while self._plan.every_s:
            await asyncio.sleep(self._plan.every_s)
            if not self._plan.near:
                next(leaving).hang_up()
            leaving = itertools.chain(leaving, [self._one_more(running)])

    def _one_more(self, running: Running) -> ChaosCaller:
        caller = self._caller(len(running))
        running[asyncio.create_task(caller.run())] = caller
        return caller

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
        fault = self._fault
        self._note(h.Injected(struck.what, struck.hit, at_s, until_s, fault.most_ms, fault.whole))
        for each in struck.newcomers:
            self._note(each)
        self._tell(f"{self._fault.what}: {struck.what}")
        await asyncio.sleep(until_s + SETTLED_S - time.monotonic())

    async def _audit(self, call_ids: Sequence[str]) -> None:
        """Once all is written that will be."""
        self._tell("reading the books")
        until_s = time.monotonic() + WRITTEN_S
        while time.monotonic() < until_s:
            if await asyncio.to_thread(self._books.settled, call_ids):
                busy = await self._busy()
                if not any(each.live or each.sessions or each.to_be_written for each in busy):
                    break
            await asyncio.sleep(LOOK_S)
        for each in [*await self._busy(), *await asyncio.to_thread(self._books.audit, call_ids)]:
            self._note(each)

    async def _busy(self) -> list[h.Busy]:
        found = []
        for node in self._scene.nodes():
            with contextlib.suppress(ReceptionError):
                told = (await status(node))["node"]
                leased, waiting = told["pool"]["leased"], told["to_be_written"]
                found.append(h.Busy(node.node_id, told["live"], leased, waiting))
        return found


def judge(
    plan: Plan, logs: Logs, this: Try, events: Sequence[h.Event], report: Report
) -> list[Violation]:
    """Adds a try to the report; what was violated. Keeps what explains it."""
    broken = report.add(this.fault, tuple(events))
    if broken or plan.keep_all:
        kept = keep(plan, logs, this, events)
        if broken:
            report.kept[this.fault, this.number] = kept
    return broken


def keep(plan: Plan, logs: Logs, this: Try, events: Sequence[h.Event]) -> str:
    """History and logs of a try, in a folder of its own."""
    folder = plan.keep / f"{this.fault}-{this.number}"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier run
    folder.mkdir(parents=True)
    logs.keep(folder / "logs")
    lines = "".join(h.to_line(each) + "\n" for each in events)
    (folder / "history.jsonl").write_text(lines, "utf-8")
    return str(folder)


def _add(cluster: LocalCluster, count: int) -> None:
    """Nodes that start behind what is live: a node of its own would have CPUs of its own."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), SOON)
    cluster.add(count)


async def _whole(nodes: Sequence[Member], ready: int) -> bool:
    """Every node hears of every node, and of no other, and has so many sessions ready."""
    wanted = {node.node_id for node in nodes}
    try:
        known = await asyncio.gather(*(known_to(node) for node in nodes))
        told = await asyncio.gather(*(status(node) for node in nodes))
    except Unavailable:
        return False
    pools = [each["node"]["pool"] for each in told]
    return all(each == wanted for each in known) and all(
        each["ready"] >= ready and not each["starting"] for each in pools
    )
