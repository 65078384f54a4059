"""One call on its session: feeds the conversation and carries out its commands.

What follows from an event goes to the audio worker in one message with the state after
it. When the session dies, another one takes that state and the events since, and goes
on: no command is lost or given twice. What is under way elsewhere is a part of the state
and begun again; money and messages are told apart by their ids, so none counts twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any

from actors import caller_messages, checkpoint
from actors.assignment import Assignment
from actors.call_commands import CallCommands
from actors.call_end import CallEnd
from actors.call_news import CallNews
from actors.call_parts import CallParts
from actors.link import Link
from actors.log import log
from actors.spawn import Remote
from protos.link.v1 import link_pb2 as lk
from reception.call import messages as m
from reception.call.journal import FENCED
from reception.call.record import CallRecord
from reception.call.states import State
from reception.errors import Unavailable

TAKE_OVER_TIMEOUT_S = 6.0  # more than a worker waits for a door


class CallRun:
    """Runs one call; `run`, `take_over` or `carry_on` is called once."""

    def __init__(self, assignment: Assignment, cost: Remote, agent: Remote) -> None:
        self.lease_id = assignment.spec.lease_id
        self._parts = parts = CallParts(assignment, cost, agent)
        self._worker, self._inbox, self._money = parts.worker, parts.inbox, parts.money
        self._conversation = parts.conversation
        self._commands = CallCommands(parts)
        self._end = CallEnd(parts, self._commands)
        self._news = CallNews(assignment, agent, parts.record, parts.checkpoint, parts.tasks.begin)
        self._fenced = False

    def request_end(self, reason: str, polite: bool) -> None:
        """Somebody else ends the call. FENCED: another node has it, so that nothing of
        it is finished here."""
        self._fenced = self._fenced or reason == FENCED
        self._inbox.put(m.EndRequested(reason, polite))

    async def run(self) -> CallRecord:
        """The call from attaching to its record."""
        return await self._live(self._ring())

    async def take_over(self, told: CallRecord, state: bytes) -> CallRecord:
        """The rest of a call whose session has died.

        Args:
            told: what the node agent knows of the call.
            state: what was kept of it, should its worker have given it up.
        """
        return await self._live(self._follow(told, state))

    async def carry_on(self, state: bytes) -> CallRecord:
        """The rest of a call whose node is lost, which goes as after the death of an
        audio worker.

        Args:
            state: what was kept of it; empty when it was lost in its first moments.
        """
        return await self._live(self._arrive(state))

    async def _live(self, beginning: Coroutine[Any, Any, None]) -> CallRecord:
        try:
            await beginning
            self._money.begin(self._worker.began_s)
            await self._converse()
            if self._fenced:
                return self._parts.record(FENCED)
            return await self._end.wind_up()
        except Unavailable:
            await self._end.settle("internal")
            return self._parts.record("internal")
        finally:
            self._news.stop()
            self._money.stop()
            self._parts.tasks.cancel()
            await self._worker.close()

    async def _ring(self) -> None:
        link = await self._attached()
        self._commands.carry_out(self._conversation.start(time.monotonic()))
        self._inbox.follow(link)

    async def _follow(self, told: CallRecord, state: bytes) -> None:
        self._news.told = told
        link = await self._attached(takes_over=True)
        try:
            if not await self._resume(link):
                self._commands.carry_out(self._conversation.start(time.monotonic()))
        except Unavailable:
            if not state and told.phase != State.CONNECTING:
                raise
            log.warning("call given up by its worker", call_id=self._parts.spec.call_id)
            self._worker.give_up()
            await self._arrive(state)
            return
        self._inbox.follow(link)

    async def _arrive(self, state: bytes) -> None:
        if not state:
            self._worker.moves = 1
            passed_s = max(0.0, time.time() - self._parts.spec.accepted_at_s)
            self._worker.began_s = time.monotonic() - passed_s
            await self._ring()
            return
        self._restore(state)
        self._worker.forget()
        self._inbox.worker_lost()

    async def _attached(self, *, takes_over: bool = False) -> Link:
        link = await self._worker.connect()
        attach = self._parts.first_attach()
        attach.takes_over = takes_over
        self._worker.send(attach=attach)
        return link

    async def rehearse(self) -> None:
        """Everything up to attaching: the link, the opening, the record."""
        await self._worker.connect()
        self._parts.first_attach().SerializeToString()
        checkpoint.loads(self._parts.checkpoint())
        caller_messages.call_of(self._parts.record()).SerializeToString()
        await self._worker.close()

    # ------------------------------------------------------------- one session after another

    async def _resume(self, link: Link) -> bool:
        """From where the session before this one was. False: it did nothing yet.

        Raises:
            Unavailable: the worker knows nothing of the call.
        """
        frame = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TAKE_OVER_TIMEOUT_S):
                frame = await link.receive()
        first = lk.WorkerToSession.FromString(frame[1]) if frame else lk.WorkerToSession()
        if not first.HasField("resume"):
            raise Unavailable("the call that was to be taken over is gone")
        self._inbox.count_from(first.resume.events)
        if not first.resume.checkpoint:
            return False
        self._restore(first.resume.checkpoint)
        return True

    def _restore(self, state: bytes) -> None:
        """All as it was then; what was under way elsewhere is begun again."""
        for work in self._parts.restore(state):
            self._commands.begin(work)

    # ------------------------------------------------------------- the loop

    async def _converse(self) -> None:
        conversation = self._conversation
        while conversation.finish is None:
            deadline_s = conversation.next_deadline_s()
            wait_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            try:
                async with asyncio.timeout(wait_s):
                    events = await self._inbox.next()
            except TimeoutError:
                self._commands.carry_out(conversation.handle_timer(time.monotonic()))
            else:
                now_s = time.monotonic()
                commands = [
                    command for event in events for command in conversation.handle(event, now_s)
                ]
                self._commands.carry_out(commands)
            self._news.soon()
