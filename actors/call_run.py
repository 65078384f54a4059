"""One call on its session: feeds the conversation and carries out its commands.

What follows from an event goes to the audio worker in one message with the state after
it. When the session dies, another one takes that state and the events since, and goes
on: no command is lost or given twice. What is under way elsewhere is a part of the state
and begun again; money and messages are told apart by their ids, so none counts twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import time
from collections.abc import Coroutine
from dataclasses import asdict, replace
from typing import Any

from ray.exceptions import RayError

from actors import caller_messages, checkpoint
from actors.assignment import Assignment
from actors.bills import Delivery, bill, closing
from actors.checkpoint import Checkpoint, Pending
from actors.gossip import tell
from actors.link import SESSION_SUFFIX, Link
from actors.log import log
from actors.spawn import Remote
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call import messages as m
from reception.call import tools
from reception.call.conversation import Conversation
from reception.call.journal import FENCED
from reception.call.progress import encode, progress
from reception.call.record import CallRecord
from reception.call.states import State
from reception.errors import ReceptionError, Unavailable
from reception.framing import Kind
from reception.media.leg import LegConfig
from reception.media.silence import sent_around
from reception.money.policy import Step
from reception.money.savings.levels import LEVELS
from reception.provider import codec_for
from reception.provider.base import DialPlan, ProviderCommand

LINK_TIMEOUT_S = 5.0
ACTOR_TIMEOUT_S = 5.0
STATS_TIMEOUT_S = 3.0
SAVED_TIMEOUT_S = 1.0
TAKE_OVER_TIMEOUT_S = 6.0  # more than a worker waits for a door
TELL_S = 0.1
MOVE_TIMEOUT_S = 10.0
MOVE_PAUSE_S = 0.1
LEAD_MS = 200  # playout's lead at the most
MAX_WAITING_EVENTS = 1_000
TELL_STATE_EVERY = 32  # events of which nothing followed

KEEP_S = 1.0
BILL_TRIES = 3  # a singleton that restarts is back within 3 s
_DOUBTFUL = ("caller_vanished", "internal")  # so may end a call that went elsewhere


class CallRun:
    """Runs one call; `run` or `take_over` is called once."""

    def __init__(self, assignment: Assignment, cost: Remote, agent: Remote) -> None:
        spec = assignment.spec
        self.lease_id = spec.lease_id
        self._assignment, self._spec = assignment, spec
        self._cost, self._agent = cost, agent
        self._codec = codec_for(assignment.provider.provider)
        self._conversation = Conversation(
            spec,
            assignment.profile,
            assignment.model,
            assignment.audio_format,
            voice=assignment.provider.voice,
            rng=random.Random(spec.session_id),  # noqa: S311  # nosec B311 - jitter, no secret
            decisions=LEVELS[assignment.level],
            recorded={text: each.duration_ms for text, each in assignment.phrases.items()},
            asked_model=assignment.profile.model or assignment.provider.model,
        )
        self._told = self._conversation.record()
        # Events with the number of the worker's message that brought them; 0: of our own.
        self._inbox: asyncio.Queue[tuple[int, tuple[m.ConversationEvent, ...]]] = asyncio.Queue(
            MAX_WAITING_EVENTS
        )
        self._came = self._handled = self._told_events = 0  # messages with events
        self._pending: dict[str, tuple[Pending, float]] = {}  # and since when (UNIX time)
        self._stats: asyncio.Future[lk.LegStats] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._link: Link | None = None
        self._cost_micros = 0
        self._money = m.MoneyRunsOut(())  # as told last
        self._telling: asyncio.TimerHandle | None = None
        self._keeping: asyncio.TimerHandle | None = None
        self._owing: asyncio.TimerHandle | None = None
        self._worker_socket = assignment.worker_socket
        self._began_s = time.monotonic()
        self._moves = 0  # to other audio workers
        self._listening, self._fenced = True, False

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
            await self._converse()
            if self._fenced:
                return self._record(FENCED)
            return await self._wind_up()
        except Unavailable:
            await self._settle("internal")
            return self._record("internal")
        finally:
            for timer in (self._telling, self._keeping, self._owing):
                if timer is not None:
                    timer.cancel()
            for task in self._tasks:
                task.cancel()
            if self._link is not None:
                await self._link.close()

    async def _ring(self) -> None:
        link = await self._attached()
        self._carry_out(self._conversation.start(time.monotonic()))
        link.handle(self._on_frame, self._on_link_end)

    async def _follow(self, told: CallRecord, state: bytes) -> None:
        self._told = told
        link = await self._attached(takes_over=True)
        try:
            if not await self._resume(link):
                self._carry_out(self._conversation.start(time.monotonic()))
        except Unavailable:
            if not state and told.phase != State.CONNECTING:
                raise
            log.warning("call given up by its worker", call_id=self._spec.call_id)
            link.abort()
            self._link = None
            await self._arrive(state)
            return
        link.handle(self._on_frame, self._on_link_end)

    async def _arrive(self, state: bytes) -> None:
        if not state:
            self._moves = 1
            self._began_s = time.monotonic() - max(0.0, time.time() - self._spec.accepted_at_s)
            await self._ring()
            return
        self._restore(checkpoint.loads(state))
        self._worker_socket = ""  # nobody has it: its worker is found as after a loss
        self._put(m.MediaLost())

    async def _attached(self, *, takes_over: bool = False) -> Link:
        self._link = await Link.connect(self._worker_socket + SESSION_SUFFIX, LINK_TIMEOUT_S)
        attach = self._attach(self._opening(), self._assignment.model)
        attach.takes_over = takes_over
        self._link.send(lk.SessionToWorker(attach=attach))
        return self._link

    async def rehearse(self) -> None:
        """Everything up to attaching: the link, the opening, the record."""
        link = await Link.connect(self._assignment.worker_socket + SESSION_SUFFIX, LINK_TIMEOUT_S)
        self._attach(self._opening(), self._assignment.model).SerializeToString()
        checkpoint.loads(self._checkpoint())
        caller_messages.call_of(self._record("")).SerializeToString()
        await link.close()

    def _opening(self) -> tuple[ProviderCommand, ...]:
        return tuple(self._conversation.opening())

    def _attach(self, opening: tuple[ProviderCommand, ...], model: str) -> lk.SessionAttach:
        spec = self._spec
        leg = LegConfig(
            spec.codec,
            spec.rate_hz,
            spec.ptime_ms,
            spec.sends_marks,
            frames_before=self._frames_before(),
            generation=self._moves,
            listening=self._listening,
            hearing=self._assignment.profile.hearing,
            recording=self._assignment.profile.recording,
            silence_ms=sent_around(
                self._assignment.profile.turn_detection, LEVELS[self._assignment.level]
            ),
        )
        return lk.SessionAttach(
            call_id=spec.call_id,
            lease_id=spec.lease_id,
            dial_plan=self._dial_plan(opening, model),
            leg_config=json.dumps(asdict(leg)).encode(),
            checkpoint=self._checkpoint() if self._moves else b"",
            session=self._assignment.session,
            session_id=spec.session_id,
        )

    def _dial_plan(self, opening: tuple[ProviderCommand, ...], model: str) -> bytes:
        provider = self._assignment.provider
        plan = DialPlan(
            provider.provider,
            provider.base_url,
            model,
            self._assignment.audio_format,
            opening=tuple(self._codec.encode(command) for command in opening),
        )
        return json.dumps(asdict(plan)).encode()

    def _frames_before(self) -> int:
        """How many numbers the leg's frames may have had so far: playout keeps to
        real time, so never more than there was time for."""
        if self._moves == 0:
            return 0
        passed_ms = (time.monotonic() - self._began_s) * 1000 + LEAD_MS
        return math.ceil(passed_ms / self._spec.ptime_ms)

    # ------------------------------------------------------------- one session after another

    def _checkpoint(self) -> bytes:
        return checkpoint.dumps(
            Checkpoint(
                self._conversation.checkpoint(),
                self._pending,
                self._cost_micros,
                self._moves,
                self._listening,
                self._began_s,
                clock_s=time.monotonic(),
                unix_s=time.time(),
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
        self._conversation.resume(state.conversation, state.later_s)
        self._cost_micros, self._moves = state.cost_micros, state.moves
        self._listening, self._began_s = state.listening, state.began_s + state.later_s
        for command, since_s in state.pending.values():
            self._begin(command, since_s)

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
                for event in events:
                    if isinstance(event, m.ToolFinished):
                        self._pending.pop(event.call_id, None)
                self._handled = number or self._handled
                self._carry_out(commands)
            self._tell_agent_soon()

    def _carry_out(self, commands: list[m.ConversationCommand]) -> None:
        """All of it, or after this session's death nothing."""
        step = lk.Step()
        for command in commands:
            match command:
                case m.ToProvider(event):
                    step.messages.add(provider_event=self._codec.encode(event).encode())
                case m.StopPlayout():
                    step.messages.add(stop_playout=lk.StopPlayout())
                case m.PlayPhrase(item_id, text):
                    path = self._assignment.phrases[text].path
                    step.messages.add(play=lk.Play(item_id=item_id, path=path))
                case m.Listen(on):
                    self._listening = on
                    step.messages.add(listen=lk.Listen(on=on))
                case m.RunTool() | m.ReportUsage() | m.ReportTranscription() | m.Redial():
                    self._begin(command, time.time())
                case m.Renew(opening, model):
                    renew = lk.Renew(dial_plan=self._dial_plan(opening, model))
                    step.messages.add(renew=renew)
                case m.UsageDiffers(difference):
                    log.warning(
                        "usage differs from our own count",
                        call_id=self._spec.call_id,
                        **asdict(difference),
                    )
                case m.FinishCall(drain_ms=drain_ms):
                    step.messages.add(finish=lk.Finish(drain_ms=drain_ms))
                case _:
                    step.messages.add(to_caller=caller_messages.encode(command))
        if commands or self._handled - self._told_events >= TELL_STATE_EVERY:
            step.checkpoint, step.events = self._checkpoint(), self._handled
            self._told_events = self._handled
            self._send(step=step)

    def _begin(self, command: Pending, since_s: float) -> None:
        """What happens elsewhere; the state has it until it is done."""
        match command:
            case m.RunTool():
                key, work = command.call_id, self._run_tool(command, since_s)
            case m.ReportUsage(response_id):
                key, work = f"usage {response_id}", self._charge(self._bill(command))
            case m.ReportTranscription(item_id):
                key, work = f"words {item_id}", self._charge(self._bill(command))
            case m.Redial():
                key, work = "dial", self._redial(command)
        self._pending[key] = command, since_s
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not isinstance(command, m.RunTool):  # that one is done when its result is in
            task.add_done_callback(lambda _: self._done(key, command))

    def _done(self, key: str, command: Pending) -> None:
        if self._pending.get(key, (None, 0.0))[0] is command:
            del self._pending[key]

    def _send(self, **field: Any) -> None:
        if self._link is not None:
            self._link.send(lk.SessionToWorker(**field))

    def _put(self, *events: m.ConversationEvent, number: int = 0) -> None:
        """Events past the inbox's bound mean that something runs away: the link
        is cut, which ends the call with a record."""
        try:
            self._inbox.put_nowait((number, events))
        except asyncio.QueueFull:
            if self._link is not None:
                self._link.abort()

    # ------------------------------------------------------------- from the worker

    def _on_frame(self, kind: Kind, body: bytes) -> None:
        if kind is not Kind.CONTROL:
            return
        message = lk.WorkerToSession.FromString(body)
        which = message.WhichOneof("message")
        if which in ("attached", "resume"):
            return
        self._came += 1
        if which == "stats":
            if not self._stats.done():
                self._stats.set_result(message.stats)
        else:
            self._put(*self._events(message), number=self._came)

    def _events(self, message: lk.WorkerToSession) -> tuple[m.ConversationEvent, ...]:
        match message.WhichOneof("message"):
            case "provider_event":
                return (m.FromProvider(self._codec.decode(message.provider_event)),)
            case "provider_state":
                state = message.provider_state
                up = m.ProviderUp(state.model)
                return (up if state.up else m.ProviderDown(state.code, state.reason),)
            case "from_caller":
                return tuple(caller_messages.decode(message.from_caller))
            case "answer_audio":
                made = message.answer_audio
                return (m.AnswerAudio(made.response_id, made.audio_ms, made.lost),)
            case "playout":
                return (_playout_event(message.playout),)
            case "leg_gone":
                return (m.CallerGone(message.leg_gone.reason),)
            case "leg_refused":
                return (m.LegRefused(message.leg_refused.field, message.leg_refused.message),)
            case _:
                return ()

    def _on_link_end(self) -> None:
        """The worker is gone, or this call let go of it."""
        self._link = None
        if self._conversation.finish is None:
            self._put(m.MediaLost())
        elif not self._stats.done():
            self._stats.set_result(lk.LegStats())

    # ------------------------------------------------------------- tools, money

    async def _run_tool(self, command: m.RunTool, since_s: float) -> None:
        """A function that is run again by another session has the same time, and so its
        message the same id: it is kept once."""
        outcome = tools.run(
            command.name, command.arguments, self._assignment.profile, since_s, self._spec
        )
        output, effect = outcome.output, outcome.effect
        if isinstance(effect, tools.Message):
            try:
                async with asyncio.timeout(ACTOR_TIMEOUT_S):
                    await self._agent.save_message(effect.message)
            except (RayError, ReceptionError, TimeoutError):
                log.exception("message not saved", call_id=self._spec.call_id)
                outcome = tools.failed("the message could not be kept")
                output, effect = outcome.output, outcome.effect
        self._put(m.ToolFinished(command.call_id, output, effect))

    def _bill(self, command: m.ReportUsage | m.ReportTranscription) -> Delivery:
        if isinstance(command, m.ReportUsage) and command.estimated:
            log.warning(
                "billed by our own count",
                call_id=self._spec.call_id,
                response_id=command.response_id,
            )
        transcriber = self._assignment.profile.transcription_model
        return bill(command, self._spec.session_id, transcriber)

    async def _charge(self, delivery: Delivery) -> None:
        """Bills. When the singleton or its database does not answer, the node keeps the
        bill and sends it later: by its ids it counts once."""
        for attempt in range(BILL_TRIES):
            try:
                async with asyncio.timeout(ACTOR_TIMEOUT_S):
                    charge = await getattr(self._cost, delivery.method)(*delivery.args)
            except (RayError, TimeoutError):
                await asyncio.sleep(0.5 * (attempt + 1))
                continue
            self._cost_micros = charge.call_total_micros
            if self._owing is not None:
                self._owing.cancel()
                self._owing = None
            money = m.MoneyRunsOut(charge.due, charge.output_tokens)
            if money != self._money:
                self._money = money
                self._put(money)
            return
        if self._owing is None and self._assignment.unbilled_s < math.inf:
            loop = asyncio.get_running_loop()
            self._owing = loop.call_later(self._assignment.unbilled_s, self._stop_owing)
        await self._send_later(delivery)

    def _stop_owing(self) -> None:
        """Nothing could be billed for too long: nothing more is held for the call."""
        log.warning("nothing can be billed", call_id=self._spec.call_id)
        self._put(m.MoneyRunsOut((Step.WRAP_UP,)))

    async def _send_later(self, delivery: Delivery) -> None:
        try:
            async with asyncio.timeout(ACTOR_TIMEOUT_S):
                await self._agent.send_later(delivery)
        except (RayError, ReceptionError, TimeoutError):
            log.exception("not billed", call_id=self._spec.call_id, method=delivery.method)

    async def _redial(self, command: m.Redial) -> None:
        await asyncio.sleep(command.delay_s)
        if self._conversation.finish is not None:
            return
        newest = self._pending.get("dial", (command, 0.0))[0]
        if newest is not command or (self._link is not None and self._conversation.connected):
            return  # the session before this one had done it
        try:
            if self._link is None:
                await self._move()
        except ReceptionError as error:
            log.warning("no other worker", call_id=self._spec.call_id, error=error.message)
            self._put(m.EndRequested("internal", polite=False))
            return
        self._send(attach=self._attach(command.opening, command.model))

    async def _move(self) -> None:
        """To another audio worker, once there is one. Raises Unavailable."""
        until_s = time.monotonic() + MOVE_TIMEOUT_S
        while True:
            try:
                async with asyncio.timeout(ACTOR_TIMEOUT_S):
                    self._worker_socket = await self._agent.another_worker(
                        self.lease_id, self._worker_socket
                    )
                self._link = await Link.connect(
                    self._worker_socket + SESSION_SUFFIX, LINK_TIMEOUT_S
                )
                break
            except (RayError, ReceptionError, TimeoutError) as error:
                if time.monotonic() > until_s:
                    raise Unavailable("no audio worker takes the call") from error
                await asyncio.sleep(MOVE_PAUSE_S)
        self._moves += 1
        self._came = self._handled = self._told_events = 0  # it counts for itself
        self._link.handle(self._on_frame, self._on_link_end)

    def _tell_agent_soon(self) -> None:
        """In a moment, and once for all that changes meanwhile: a call that
        comes up changes several times, and an actor call takes a millisecond."""
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL_S, self._tell_agent)

    def _tell_agent(self) -> None:
        """The node agent hears of every change that an observer would see."""
        self._telling = None
        record = self._record("")
        news = progress(self._told, record)
        if news is not None and tell(self._assignment.progress_socket, encode(news)):
            self._told = record
            self._keep_soon()

    def _keep_soon(self) -> None:
        """The node keeps the call's state, in case that all of this node is lost."""
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().call_later(KEEP_S, self._keep)

    def _keep(self) -> None:
        self._keeping = None
        task = asyncio.ensure_future(self._hand_in(self._checkpoint()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_in(self, state: bytes) -> None:
        with contextlib.suppress(RayError, ReceptionError, TimeoutError):
            async with asyncio.timeout(ACTOR_TIMEOUT_S):
                await self._agent.keep_state(self._spec.session_id, state)

    # ------------------------------------------------------------- the end

    async def _wind_up(self) -> CallRecord:
        """Plays out, closes the provider, settles, says how the call went."""
        finish = self._conversation.finish
        assert finish is not None
        stats = lk.LegStats()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATS_TIMEOUT_S + finish.drain_ms / 1000):
                stats = await self._stats
        self._bill_the_rest()
        await self._settle(finish.reason)
        record = replace(
            self._record(finish.reason),
            stats={
                field.name: getattr(stats, field.name)
                for field in stats.DESCRIPTOR.fields
                if field.name != "recording"
            }
            | {"moves": self._moves}
            | self._conversation.usage_counts()
            | await self._saved(),
            recording=stats.recording,
        )
        if finish.hangup:
            self._tell_caller(rv.ReceptionMessage(hangup=rv.Hangup(reason=finish.reason)))
        summary = rv.CallSummary(call=caller_messages.call_of(record))
        self._tell_caller(rv.ReceptionMessage(summary=summary))
        self._send(over=lk.Over())
        return record

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
        self._send(to_caller=message.SerializeToString())

    async def _settle(self, reason: str) -> None:
        """Waits for what is being billed, then closes the call's account; not when
        another node goes on with the call."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ACTOR_TIMEOUT_S)
        if reason in _DOUBTFUL and not await self._is_ours():
            return
        try:
            async with asyncio.timeout(ACTOR_TIMEOUT_S):
                total = await self._cost.close_call(self._spec.session_id)
            self._cost_micros = total.total_micros
        except (RayError, TimeoutError):
            await self._send_later(closing(self._spec.session_id))

    async def _saved(self) -> dict[str, int]:
        """Micro-dollars that were saved, and by what; nothing if nobody can say."""
        try:
            async with asyncio.timeout(SAVED_TIMEOUT_S):
                found = await self._cost.would_have_cost(*self._conversation.answered())
        except (RayError, ReceptionError, TimeoutError):
            return {}
        by = {f"saved_{each.name.lower()}_micros": micros for each, micros in found.saved.items()}
        return {"saved_micros": sum(by.values())} | {name: by[name] for name in by if by[name]}

    async def _is_ours(self) -> bool:
        try:
            async with asyncio.timeout(ACTOR_TIMEOUT_S):
                return bool(await self._agent.owns(self._spec.session_id))
        except (RayError, ReceptionError, TimeoutError):
            return True

    def _record(self, end_reason: str) -> CallRecord:
        record = self._conversation.record()
        record = replace(record, cost_micros=self._cost_micros)
        if end_reason:
            record = replace(record, state="ended", end_reason=end_reason, ended_at_s=time.time())
        return record


def _playout_event(playout: lk.Playout) -> m.ConversationEvent:
    match playout.kind:
        case lk.Playout.STARTED:
            return m.PlayoutStarted(playout.item_id)
        case lk.Playout.INTERRUPTED:
            return m.PlayoutInterrupted(playout.item_id, playout.heard_ms)
        case lk.Playout.MEASURED:
            return m.GatewayMeasured(playout.gateway_us)
        case _:
            return m.PlayoutDrained()
