"""One call on its session: feeds the conversation and carries out its commands.

What follows from an event goes to the audio worker in one message with the state after
it. When the session dies, another one takes that state and the events since, and goes
on: no command is lost or given twice. What is under way elsewhere is a part of the state
and begun again; money and messages are told apart by their ids, so none counts twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Coroutine
from dataclasses import asdict, replace
from typing import Any

from ray.exceptions import RayError

from actors import caller_messages, checkpoint, worker_messages
from actors.assignment import Assignment
from actors.call_money import CallMoney
from actors.call_news import CallNews
from actors.call_worker import CallWorker
from actors.checkpoint import Checkpoint
from actors.link import Link
from actors.log import log
from actors.spawn import Remote, in_time
from actors.tasks import Tasks
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call import messages as m
from reception.call import tools
from reception.call.conversation import Conversation
from reception.call.journal import FENCED
from reception.call.record import CallRecord
from reception.call.states import State
from reception.errors import ReceptionError, Unavailable
from reception.framing import Kind
from reception.media.leg_totals import LegTotals
from reception.money.savings.levels import LEVELS
from reception.provider import codec_for
from reception.provider.base import ProviderCommand

STATS_TIMEOUT_S = 3.0
REACH_S = 3.0
TAKE_OVER_TIMEOUT_S = 6.0  # more than a worker waits for a door
MAX_WAITING_EVENTS = 1_000
TELL_STATE_EVERY = 32  # events of which nothing followed


class CallRun:
    """Runs one call; `run` or `take_over` is called once."""

    def __init__(self, assignment: Assignment, cost: Remote, agent: Remote) -> None:
        spec = assignment.spec
        self.lease_id = spec.lease_id
        self._assignment, self._spec = assignment, spec
        self._agent = agent
        self._codec = codec_for(assignment.provider.provider)
        self._money = CallMoney(assignment, cost, agent, self._put)
        self._conversation = Conversation(
            spec,
            assignment.profile,
            assignment.model,
            assignment.audio_format,
            voice=assignment.provider.voice,
            rng=random.Random(spec.session_id),  # noqa: S311  # nosec B311 - jitter, no secret
            decisions=LEVELS[assignment.level],
            recorded={text: each.duration_ms for text, each in assignment.phrases.items()},
            asked_model=assignment.asked_model,
            means=self._money.binding(spec.means),
        )
        self._worker = CallWorker(assignment, agent, self._on_frame, self._on_link_end)
        self._tasks = Tasks()  # waited for before the end, cancelled after it
        self._news = CallNews(assignment, agent, self._record, self._checkpoint, self._tasks.begin)
        # Events with the number of the worker's message that brought them; 0: of our own.
        self._inbox: asyncio.Queue[tuple[int, tuple[m.ConversationEvent, ...]]] = asyncio.Queue(
            MAX_WAITING_EVENTS
        )
        self._came = self._handled = self._told_events = 0  # messages with events
        self._stats: asyncio.Future[lk.LegStats] = asyncio.get_running_loop().create_future()
        self._legs = LegTotals()
        self._fenced = False

    def request_end(self, reason: str, polite: bool) -> None:
        """Somebody else ends the call. FENCED: another node has it, so that nothing of
        it is finished here."""
        self._fenced = self._fenced or reason == FENCED
        self._put(m.EndRequested(reason, polite))

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
                return self._record(FENCED)
            return await self._wind_up()
        except Unavailable:
            await self._settle("internal")
            return self._record("internal")
        finally:
            self._news.stop()
            self._money.stop()
            self._tasks.cancel()
            await self._worker.close()

    async def _ring(self) -> None:
        link = await self._attached()
        self._carry_out(self._conversation.start(time.monotonic()))
        self._worker.handle(link)

    async def _follow(self, told: CallRecord, state: bytes) -> None:
        self._news.told = told
        link = await self._attached(takes_over=True)
        try:
            if not await self._resume(link):
                self._carry_out(self._conversation.start(time.monotonic()))
        except Unavailable:
            if not state and told.phase != State.CONNECTING:
                raise
            log.warning("call given up by its worker", call_id=self._spec.call_id)
            self._worker.give_up()
            await self._arrive(state)
            return
        self._worker.handle(link)

    async def _arrive(self, state: bytes) -> None:
        if not state:
            self._worker.moves = 1
            passed_s = max(0.0, time.time() - self._spec.accepted_at_s)
            self._worker.began_s = time.monotonic() - passed_s
            await self._ring()
            return
        self._restore(checkpoint.loads(state))
        self._legs.worker_lost()
        self._worker.forget()
        self._put(m.MediaLost())

    async def _attached(self, *, takes_over: bool = False) -> Link:
        link = await self._worker.connect()
        attach = self._first_attach()
        attach.takes_over = takes_over
        self._worker.send(attach=attach)
        return link

    async def rehearse(self) -> None:
        """Everything up to attaching: the link, the opening, the record."""
        await self._worker.connect()
        self._first_attach().SerializeToString()
        checkpoint.loads(self._checkpoint())
        caller_messages.call_of(self._record()).SerializeToString()
        await self._worker.close()

    def _first_attach(self) -> lk.SessionAttach:
        return self._attach(self._conversation.opening(), self._assignment.model)

    def _attach(self, opening: tuple[ProviderCommand, ...], model: str) -> lk.SessionAttach:
        state = self._checkpoint() if self._worker.moves else b""
        return self._worker.attach(opening, model, state)

    # ------------------------------------------------------------- one session after another

    def _checkpoint(self) -> bytes:
        return checkpoint.dumps(
            Checkpoint(
                self._conversation.checkpoint(),
                self._money.cost_micros,
                self._worker.moves,
                self._worker.listening,
                self._worker.began_s,
                clock_s=time.monotonic(),
                unix_s=time.time(),
                legs=self._legs.parts,
                audio_format=self._worker.audio_format,
            )
        )

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
        self._came = self._handled = self._told_events = first.resume.events
        if not first.resume.checkpoint:
            return False
        self._restore(checkpoint.loads(first.resume.checkpoint))
        return True

    def _restore(self, state: Checkpoint) -> None:
        """All as it was then; what was under way elsewhere is begun again."""
        again = self._conversation.resume(state.conversation, state.later_s)
        self._money.cost_micros = state.cost_micros
        self._legs = LegTotals(*state.legs)
        worker = self._worker
        worker.moves, worker.listening = state.moves, state.listening
        worker.audio_format = state.audio_format
        worker.began_s = state.began_s + state.later_s
        for work in again:
            self._begin(work)

    # ------------------------------------------------------------- the loop

    async def _converse(self) -> None:
        conversation = self._conversation
        while conversation.finish is None:
            deadline_s = conversation.next_deadline_s()
            wait_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            try:
                async with asyncio.timeout(wait_s):
                    number, events = await self._inbox.get()
            except TimeoutError:
                self._carry_out(conversation.handle_timer(time.monotonic()))
            else:
                now_s = time.monotonic()
                commands = [
                    command for event in events for command in conversation.handle(event, now_s)
                ]
                self._handled = number or self._handled
                self._carry_out(commands)
            self._news.soon()

    def _carry_out(self, commands: list[m.ConversationCommand]) -> None:
        """All of it, or after this session's death nothing."""
        step = lk.Step()
        for command in commands:
            match command:
                case m.ToProvider(event):
                    step.messages.add(provider_event=self._worker.encode(event).encode())
                case m.StopPlayout():
                    step.messages.add(stop_playout=lk.StopPlayout())
                case m.PlayPhrase(item_id, text):
                    path = self._assignment.phrases[text].path
                    step.messages.add(play=lk.Play(item_id=item_id, path=path, text=text))
                case m.Listen(on):
                    self._worker.listening = on
                    step.messages.add(listen=lk.Listen(on=on))
                case m.RunTool() | m.ReportUsage() | m.ReportTranscription() | m.Redial():
                    self._begin(command)
                case m.Renew(opening, model):
                    renew = lk.Renew(dial_plan=self._worker.dial_plan(opening, model))
                    step.messages.add(renew=renew)
                case m.UsageDiffers(difference):
                    log.warning(
                        "usage differs from our own count",
                        call_id=self._spec.call_id,
                        **asdict(difference),
                    )
                    self._tasks.begin(self._money.differs(difference))
                case m.FinishCall(drain_ms=drain_ms):
                    step.messages.add(finish=lk.Finish(drain_ms=drain_ms))
                case _:
                    step.messages.add(to_caller=caller_messages.encode(command))
        if commands or self._handled - self._told_events >= TELL_STATE_EVERY:
            step.checkpoint, step.events = self._checkpoint(), self._handled
            self._told_events = self._handled
            self._worker.send(step=step)

    def _begin(self, work: m.Work) -> None:
        """What happens elsewhere; the conversation's state has it until it is done."""
        match work:
            case m.RunTool():
                self._tasks.begin(self._run_tool(work))
            case m.ReportUsage() | m.ReportTranscription():
                self._tasks.begin(self._bill(work))
            case m.Redial():
                self._tasks.begin(self._redial(work))

    def _put(self, *events: m.ConversationEvent, number: int = 0) -> None:
        """Events past the inbox's bound mean that something runs away: the link
        is cut, which ends the call with a record."""
        try:
            self._inbox.put_nowait((number, events))
        except asyncio.QueueFull:
            self._worker.abort()

    # ------------------------------------------------------------- from the worker

    def _on_frame(self, kind: Kind, body: bytes) -> None:
        if kind is not Kind.CONTROL:
            return
        message = lk.WorkerToSession.FromString(body)
        which = message.WhichOneof("message")
        if which in ("attached", "resume"):
            return
        if which == "so_far":
            self._legs.told(_figures(message.so_far))
            return
        self._came += 1
        if which == "provider_state" and message.provider_state.audio_format:
            self._worker.audio_format = message.provider_state.audio_format
        if which == "stats":
            self._legs.told(_figures(message.stats))
            if not self._stats.done():
                self._stats.set_result(message.stats)
        else:
            events = worker_messages.events(message, self._codec)
            self._put(*events, number=self._came)

    def _on_link_end(self) -> None:
        """The worker is gone, or this call let go of it."""
        if self._conversation.finish is None:
            self._legs.worker_lost()
            self._put(m.MediaLost())
        elif not self._stats.done():
            self._stats.set_result(lk.LegStats())

    # ------------------------------------------------------------- elsewhere

    async def _run_tool(self, command: m.RunTool) -> None:
        """A function that is run again by another session has the same time, and so its
        message the same id: it is kept once."""
        at_s = self._spec.accepted_at_s + command.at_ms / 1000
        outcome = tools.run(
            command.name, command.arguments, self._assignment.profile, at_s, self._spec
        )
        output, effect = outcome.output, outcome.effect
        if isinstance(effect, tools.Message):
            try:
                async with in_time():
                    await self._agent.save_message(effect.message)
            except (RayError, ReceptionError, TimeoutError):
                log.exception("message not saved", call_id=self._spec.call_id)
                outcome = tools.failed("the message could not be kept")
                output, effect = outcome.output, outcome.effect
        elif isinstance(effect, tools.FullModel) and not await self._money.allows(
            self._assignment.asked_model
        ):
            outcome = tools.not_now()
            output, effect = outcome.output, outcome.effect
        self._put(m.ToolFinished(command.call_id, output, effect))

    async def _bill(self, command: m.ReportUsage | m.ReportTranscription) -> None:
        await self._money.charge(command)
        self._put(m.Billed(command.key))

    async def _redial(self, command: m.Redial) -> None:
        await asyncio.sleep(command.delay_s)
        if not self._conversation.awaits(command):
            return
        try:
            if not self._worker.linked:
                link = await self._worker.move()
                self._came = self._handled = self._told_events = 0  # it counts for itself
                self._worker.handle(link)
        except ReceptionError as error:
            log.warning("no other worker", call_id=self._spec.call_id, error=error.message)
            self._put(m.EndRequested("internal", polite=False))
            return
        self._worker.send(attach=self._attach(command.opening, command.model))

    # ------------------------------------------------------------- the end

    async def _wind_up(self) -> CallRecord:
        """Plays out, closes the provider, settles, says how the call went."""
        finish = self._conversation.finish
        assert finish is not None
        stats = lk.LegStats()
        if self._worker.linked:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATS_TIMEOUT_S + finish.drain_ms / 1000):
                    stats = await self._stats
        self._bill_the_rest()
        await self._settle(finish.reason)
        record = replace(
            self._record(finish.reason),
            stats=_figures(lk.LegStats())
            | self._legs.all
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
        log.warning("call ends without a worker", call_id=self._spec.call_id, reason=reason)
        with contextlib.suppress(ReceptionError, TimeoutError):
            async with asyncio.timeout(REACH_S):
                link = await self._worker.move()
            self._worker.handle(link)
            attach = self._first_attach()
            attach.ClearField("dial_plan")
            self._worker.send(attach=attach)

    def _bill_the_rest(self) -> None:
        """What the provider said after the conversation's end."""
        while not self._inbox.empty():
            number, events = self._inbox.get_nowait()
            self._handled = number or self._handled
            now_s = time.monotonic()
            for event in events:
                self._carry_out(self._conversation.handle(event, now_s))
        self._carry_out(self._conversation.write_off())

    def _tell_caller(self, message: rv.ReceptionMessage) -> None:
        self._worker.send(to_caller=message.SerializeToString())

    async def _settle(self, reason: str) -> None:
        """Waits for what is being billed, then closes the call's account."""
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                async with in_time():
                    await asyncio.wait(self._tasks)
        await self._money.close(reason)

    def _record(self, end_reason: str = "") -> CallRecord:
        record = self._conversation.record()
        record = replace(record, cost_micros=self._money.cost_micros)
        if end_reason:
            record = replace(record, state="ended", end_reason=end_reason, ended_at_s=time.time())
        return record


def _figures(stats: lk.LegStats) -> dict[str, int]:
    return {
        field.name: getattr(stats, field.name)
        for field in stats.DESCRIPTOR.fields
        if field.name != "recording"
    }
