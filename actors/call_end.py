"""How a call ends on its session: played out, billed, settled, its caller told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace

from actors import caller_messages, worker_messages
from actors.call_commands import CallCommands
from actors.call_parts import CallParts
from actors.log import log
from actors.spawn import in_time
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call.record import CallRecord
from reception.errors import ReceptionError

STATS_TIMEOUT_S = 3.0
REACH_S = 3.0


class CallEnd:
    """One call's; its conversation is over, or can't go on."""

    def __init__(self, parts: CallParts, commands: CallCommands) -> None:
        self._parts, self._commands = parts, commands
        self._worker, self._inbox, self._money = parts.worker, parts.inbox, parts.money
        self._conversation = parts.conversation

    async def wind_up(self) -> CallRecord:
        """Plays out, closes the provider, settles, says how the call went."""
        finish = self._conversation.finish
        assert finish is not None
        stats = lk.LegStats()
        if self._worker.linked:
            stats = await self._inbox.stats(STATS_TIMEOUT_S + finish.drain_ms / 1000)
        self._bill_the_rest()
        await self.settle(finish.reason)
        record = replace(
            self._parts.record(finish.reason),
            stats=worker_messages.figures(lk.LegStats())
            | self._inbox.legs.all
            | {"moves": self._worker.moves}
            | self._conversation.usage_counts()
            | await self._money.saved(*self._conversation.answered()),
            recording=stats.recording,
        )
        if not self._worker.linked:
            await self._reach_caller(finish.reason)
        if finish.hangup:
            self._tell_caller(rv.ReceptionMessage(hangup=rv.Hangup(reason=finish.reason)))
        summary = rv.CallSummary(call=caller_messages.call_of(record))
        self._tell_caller(rv.ReceptionMessage(summary=summary))
        self._worker.send(over=lk.Over())
        return record

    async def _reach_caller(self, reason: str) -> None:
        """A call may come to its end with no worker: the one that it had is lost, or it
        came from a lost node in its last moments. Its caller, who is brought to another
        worker meanwhile, hears of it there; no provider is dialled for that."""
        log.warning("call ends without a worker", call_id=self._parts.spec.call_id, reason=reason)
        with contextlib.suppress(ReceptionError, TimeoutError):
            async with asyncio.timeout(REACH_S):
                link = await self._worker.move()
            self._inbox.follow(link)
            attach = self._parts.first_attach()
            attach.ClearField("dial_plan")
            self._worker.send(attach=attach)

    def _bill_the_rest(self) -> None:
        """What the provider said after the conversation's end."""
        for events in self._inbox.rest():
            now_s = time.monotonic()
            for event in events:
                self._commands.carry_out(self._conversation.handle(event, now_s))
        self._commands.carry_out(self._conversation.write_off())

    def _tell_caller(self, message: rv.ReceptionMessage) -> None:
        self._worker.send(to_caller=message.SerializeToString())

    async def settle(self, reason: str) -> None:
        """Waits for what is being billed, then closes the call's account."""
        if self._parts.tasks:
            with contextlib.suppress(TimeoutError):
                async with in_time():
                    await asyncio.wait(self._parts.tasks)
        await self._money.close(reason)
