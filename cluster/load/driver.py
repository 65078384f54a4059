"""One process's share of a run: places its calls at their times, come what may."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import grpc

from cluster.client import connected
from cluster.load.cable import Cable
from cluster.load.caller import Desk, LoadCaller
from cluster.load.measures import Measures
from cluster.load.schedule import Call, Plan, schedule
from cluster.load.ticker import Ticker
from cluster.load.unary import Unary

PLUG_S = 0.5  # a caller who is to vanish connects this much before its call
PROGRESS_S = 0.5
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]

Progress = dict[str, int]


class Driver:
    """Runs a share of a plan.

    Args:
        plan: of the whole run.
        share, shares: which of how many parts is this one's.
        tell: called twice a second with counts since the beginning.
    """

    def __init__(
        self,
        plan: Plan,
        share: int = 0,
        shares: int = 1,
        tell: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.measures = Measures()
        self._plan, self._share, self._shares, self._tell = plan, share, shares, tell
        self._ticker = Ticker(self.measures)
        self._stopping = asyncio.Event()
        self._channels: list[grpc.aio.Channel] = []
        self._callers: dict[asyncio.Task[None], LoadCaller | None] = {}
        self._stack = AsyncExitStack()

    async def connect(self) -> None:
        """Opens the connections, so that no call pays for them.

        Raises:
            Unavailable: nothing answers.
        """
        for _ in range(self._plan.channels):
            channel = grpc.aio.insecure_channel(self._plan.address, options=_OWN_CONNECTION)
            await self._stack.enter_async_context(channel)
            await connected(channel, self._plan.address)
            self._channels.append(channel)

    async def run(self, began_s: float) -> Measures:
        """The run, from `began_s` (monotonic) until its last call is over."""
        cpu_s = time.process_time()
        desk = Desk(self._plan, self.measures, self._ticker, began_s)
        beside = [
            asyncio.create_task(self._ticker.run(), name="ticker"),
            asyncio.create_task(self._watch(desk), name="progress"),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                if self._plan.unary_per_s:
                    unary = Unary(self._plan, self.measures, self._channels[0])
                    group.create_task(self._until_stopped(unary, began_s))
                group.create_task(self._calls(desk))
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        self.measures.driver_cpu_s = time.process_time() - cpu_s
        return self.measures

    def stop(self) -> None:
        """Begins no more calls and has every caller hang up."""
        self._stopping.set()

    async def close(self) -> None:
        """Closes what `connect` opened, and pulled cables."""
        await self._stack.aclose()

    # ------------------------------------------------------------- calls

    async def _calls(self, desk: Desk) -> None:
        last_s = 0.0
        for call in schedule(self._plan, self._share, self._shares):
            early_s = PLUG_S if call.cast.vanish else 0.0
            if not await self._sleep_until(desk.began_s + call.at_s - early_s):
                break
            if len(self._callers) >= self._plan.most_live:
                self.measures.counts["not_placed"] += 1
                continue
            last_s = max(last_s, call.at_s + call.hold_s)
            task = asyncio.create_task(self._place(call, desk), name=f"call {call.number}")
            self._callers[task] = None
            task.add_done_callback(self._callers.pop)
        await self._drain(desk.began_s + max(last_s, 0.0) + self._plan.drain_s)

    async def _place(self, call: Call, desk: Desk) -> None:
        if not call.cast.vanish:
            channel = self._channels[call.number // self._shares % len(self._channels)]
            await self._call(LoadCaller(call, desk), channel)
            return
        cable = await Cable.plug(self._plan.address)
        self._stack.callback(cable.close)
        async with grpc.aio.insecure_channel(cable.address, options=_OWN_CONNECTION) as channel:
            await connected(channel, cable.address)
            await asyncio.sleep(max(0.0, desk.began_s + call.at_s - time.monotonic()))
            await self._call(LoadCaller(call, desk, cable), channel)

    async def _call(self, caller: LoadCaller, channel: grpc.aio.Channel) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._callers[task] = caller
        await caller.run(channel)

    async def _drain(self, until_s: float) -> None:
        """Waits for the calls; has those hang up that are left; no call outlasts
        that by more than its patience."""
        while self._callers and await self._sleep_until(min(until_s, time.monotonic() + 0.1)):
            if time.monotonic() >= until_s:
                break
        for caller in list(self._callers.values()):
            if caller is not None:
                caller.hang_up()
        results = await asyncio.gather(*self._callers, return_exceptions=True)
        self.measures.counts["not_placed"] += sum(isinstance(each, OSError) for each in results)

    async def _sleep_until(self, at_s: float) -> bool:
        """False when the run is to stop before."""
        if self._stopping.is_set():
            return False
        left_s = at_s - time.monotonic()
        if left_s <= 0:
            await asyncio.sleep(0)
            return True
        try:
            async with asyncio.timeout(left_s):
                await self._stopping.wait()
        except TimeoutError:
            return True
        return False

    async def _until_stopped(self, unary: Unary, began_s: float) -> None:
        asking = asyncio.create_task(unary.run(began_s, self._share, self._shares))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not asking.done():
            asking.cancel()
        await asyncio.gather(asking, stopping, return_exceptions=True)

    async def _watch(self, desk: Desk) -> None:
        """Tells how it goes, and keeps how many calls are live."""
        point = 0
        while True:
            self._tell(self.progress())
            await asyncio.sleep(PROGRESS_S)
            while point < int((time.monotonic() - desk.began_s) / self._plan.step_s):
                self.measures.point(point, "live", self._live())
                point += 1

    def _live(self) -> int:
        return sum(caller is not None for caller in self._callers.values())

    def progress(self) -> Progress:
        """Counts since the beginning, and the live calls."""
        counts = self.measures.counts
        return {
            "live": self._live(),
            **{name: counts[name] for name in ("calls", "accepted", "failed", "unary")},
        }
