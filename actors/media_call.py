"""One call's media leg in an audio worker: stream, playout, provider socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
import wave
from collections.abc import Callable
from typing import Any

import structlog
from google.protobuf.message import DecodeError

from actors.audio import leg_encoder
from actors.caller_leg import CallerLeg, Heard
from actors.effort import Effort
from actors.gossip import tell
from actors.link import Link
from actors.phrases import sound
from actors.provider_leg import ProviderLeg
from actors.provider_meter import ProviderMeter
from actors.recording import Recorder, Recording
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.backlog import Backlog
from reception.call.journal import TAKEOVER_S, Journal, session_lost
from reception.call.phrases import PREFIX
from reception.call.validation import LegGuard
from reception.errors import ReceptionError
from reception.framing import AUDIO_TAG, Kind, split_audio
from reception.media.adaptation import Plan
from reception.media.codecs import AudioFormat
from reception.media.leg import LegConfig
from reception.media.playout import CutItem, FrameOut, Playout
from reception.media.uplink import LinkSample
from reception.provider.base import (
    AudioDelta,
    AudioDone,
    DeleteItem,
    ProviderCommand,
    ProviderEvent,
    RateLimits,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    TruncateItem,
)

log = structlog.get_logger()

INVALID_ARGUMENT, ABORTED, INTERNAL = 3, 10, 13
VANISHED = "caller_vanished"
MAX_UNTOLD_AUDIO, MAX_UNTOLD = 100, 1_000
SAVE_TIMEOUT_S = 2.0
HAND_OVER_S = 5.0  # to wait for a pause


class MediaCall:
    """Joins the door's link, the session's link and the provider's socket.

    Everything that happens per frame happens here, in callbacks of the links;
    what to say and do is the session's business. When the session dies, audio goes on
    both ways and its events are kept, until another one takes its place (`adopt`). When
    the caller's stream breaks, the receptionist is silent and what there is to tell the
    caller waits, until the caller is back at a door (`adopt_door`) or the wait is over.
    """

    def __init__(
        self,
        door: Link,
        session: Link,
        attach: lk.SessionAttach,
        on_end: Callable[[MediaCall], None],
        recorder: Recorder,
        effort: Effort,
        meter: ProviderMeter,
        resume_wait_s: float,
        agent_socket: str,
    ) -> None:
        self._agent_socket = agent_socket
        self._session_name = attach.session
        self._resume_wait_s = resume_wait_s
        self._away: asyncio.TimerHandle | None = None  # the caller may come back until then
        self._untold: Backlog[bytes] = Backlog(MAX_UNTOLD_AUDIO, MAX_UNTOLD)
        self.call_id, self.lease_id = attach.call_id, attach.lease_id
        self._session_id, self._meter = attach.session_id, meter
        meter.began(self._session_id)
        self._door, self._session, self._on_end = door, session, on_end
        config = LegConfig.of(json.loads(attach.leg_config))
        self._effort = effort
        self._caller = CallerLeg(config, effort.plan)
        self._leg_format = self._caller.format
        self._encoder = leg_encoder(AudioFormat(config.codec, config.rate_hz))
        self._recording: Recording | None = None
        if config.recording != "off":
            kind = effort.plan.recording_for(config.recording)
            self._recording = recorder.start(
                attach.call_id, self._leg_format, kind, time.monotonic()
            )
        self._held_event = b""  # the provider's, that the caller began to speak
        self._guard = LegGuard(config.codec, config.rate_hz)
        self._playout = Playout(
            self._leg_format,
            config.ptime_ms,
            lead_ms=config.lead_ms,
            sends_marks=config.sends_marks,
            frames_before=config.frames_before,
            generation=config.generation,
        )
        self._stats = lk.LegStats()
        self._provider = ProviderLeg(
            self._leg_format,
            effort.plan,
            self._on_provider,
            self._on_provider_state,
            lambda made: self._tell(answer_audio=made),
        )
        self._first_plan = attach.dial_plan
        self._listening = config.listening
        self._finishing: asyncio.Task[None] | None = None
        self._journal: Journal[lk.WorkerToSession] = Journal(attach.checkpoint)
        self._over = False
        self._hand_over_by_s = math.inf
        self._orphaned: asyncio.TimerHandle | None = None
        self._drained = asyncio.Event()
        self._ended = self._left = False
        self._farewell: asyncio.Future[None] | None = None  # to a door before
        self._up_us = 0
        self._turn_up_us = 0
        self._withheld_ms: float = 0  # of the caller's silence, from the provider

    def begin(self) -> None:
        """Tells both sides that the call is up and starts to serve them."""
        attached = lk.Attached()
        self._session.send(lk.WorkerToSession(attached=attached))
        self._door.send(lk.WorkerToDoor(attached=attached))
        self._provider.dial(self._first_plan)
        self._serve(self._session)
        self._serve_door(self._door)

    def adopt_door(self, door: Link) -> None:
        """The caller is back, at this door; where the stream before is still there, it
        ends."""
        before, self._door = self._door, door
        if self._away is None:
            moved = lk.Abort(code=ABORTED, message="the call goes on at another stream")
            before.send(lk.WorkerToDoor(abort=moved))
        else:
            self._away.cancel()
            self._away = None
        before.handle(lambda _kind, _body: None, lambda: None)  # it speaks for nobody now
        self._farewell = asyncio.ensure_future(before.close())
        self._guard = self._guard.anew()
        now_s = time.monotonic()
        self._on_heard(self._caller.restart(now_s, speaking=self._playout.busy), now_s)
        door.send(lk.WorkerToDoor(attached=lk.Attached()))
        while self._untold:
            door.send_audio(0, self._untold.take())
        self._serve_door(door)

    def adopt(self, session: Link, name: str) -> None:
        """Another session goes on where the one before it was; that is cut off."""
        self._session_name = name
        if self._orphaned is not None:
            self._orphaned.cancel()
        before, self._session = self._session, session
        before.abort()
        journal = self._journal
        resume = lk.Resume(checkpoint=journal.checkpoint, events=journal.events)
        session.send(lk.WorkerToSession(resume=resume))
        for event in journal.since():
            session.send(event)
        self._serve(session)

    def hand_over(self) -> None:
        """The door is to bring the call to another node, as soon as nobody is spoken to."""
        self._hand_over_by_s = time.monotonic() + HAND_OVER_S
        self.tick(time.monotonic())

    def _leave_if_due(self, now_s: float) -> None:
        if self._playout.busy and now_s < self._hand_over_by_s:
            return
        self._hand_over_by_s = math.inf
        self._silence(now_s)
        if not self._door.peer_node_id:  # that of another node has it already
            self._door.send(lk.WorkerToDoor(checkpoint=self._journal.checkpoint))
        self._door.send(lk.WorkerToDoor(hand_over=lk.HandOver()))

    def _serve(self, session: Link) -> None:
        session.handle(self._on_session_frame, lambda: self._on_session_end(session))

    def _serve_door(self, door: Link) -> None:
        door.handle(self._on_door_frame, lambda: self._on_door_end(door))

    def _to_caller(self, message: rv.ReceptionMessage | bytes, stamp_ns: int = 0) -> None:
        raw = message if isinstance(message, bytes) else message.SerializeToString()
        if self._away is None:
            self._door.send_audio(stamp_ns, raw)
            return
        self._untold.add(raw, raw[:1] == AUDIO_TAG)
        if self._untold.overfull:
            self.fail("too much waits for a caller who is away")

    def _tell(self, **event: Any) -> None:
        """An event for the session, or for the one after it."""
        message = lk.WorkerToSession(**event)
        if not self._journal.add(message):
            self.fail("the call's session does not answer")
        self._session.send(message)

    # ------------------------------------------------------------- the caller

    def _on_door_frame(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.CONTROL:
            self._on_door_control(lk.DoorToWorker.FromString(body))
            return
        stamp_ns, raw = split_audio(body)
        try:
            message = rv.CallerMessage.FromString(raw)
            self._on_caller(message, raw, stamp_ns)
        except DecodeError:
            self._refuse("message", "message is no valid CallerMessage")
        except ReceptionError as error:
            self._refuse(error.field, error.message)

    def _on_caller(self, message: rv.CallerMessage, raw: bytes, stamp_ns: int) -> None:
        match message.WhichOneof("message"):
            case "audio":
                self._on_audio(message.audio, stamp_ns)
                return
            case "mark":
                self._guard.mark(message.mark.name)
                self._playout.mark_reached(message.mark.name, time.monotonic())
                self.tick(time.monotonic())
                return
            case "dtmf":
                self._guard.dtmf(message.dtmf.digits, message.dtmf.duration_ms)
            case "event":
                self._guard.event(message.event.kind, message.event.detail)
            case "end":
                self._guard.end(message.end.reason)
            case "start":
                self._guard.start_again()
            case _:
                self._refuse("message", "message is empty: exactly one field must be set")
                return
        self._tell(from_caller=raw)

    def _on_audio(self, audio: rv.Audio, stamp_ns: int) -> None:
        self._guard.audio(len(audio.payload))
        now_s, speaking = time.monotonic(), self._playout.busy
        heard = self._caller.receive(audio.payload, audio.sequence, now_s, speaking=speaking)
        self._on_heard(heard, now_s)
        self._up_us = max(0, time.monotonic_ns() - stamp_ns) // 1000
        self._effort.passed_on(self._up_us)

    def _on_heard(self, heard: Heard, now_s: float) -> None:
        if heard.interrupts and self._listening:
            self._cut()
            self._pass_held_event_on()
        if heard.keys:
            pressed = rv.CallerMessage(dtmf=rv.Dtmf(digits=heard.keys))
            self._tell(from_caller=pressed.SerializeToString())
        for audio in heard.audio:
            duration_ms = self._leg_format.duration_ms(len(audio))
            self._stats.caller_audio_ms += duration_ms
            if self._listening:
                self._withheld_ms += duration_ms
            if self._recording is not None:
                self._recording.said(now_s, audio)
        if self._listening:
            for audio in heard.sent:
                self._withheld_ms -= self._leg_format.duration_ms(len(audio))
                self._provider.hear(audio)

    def _refuse(self, field: str, message: str) -> None:
        """Ends the caller's stream with an error; the session hears of it."""
        if self._ended:
            return
        abort = lk.Abort(code=INVALID_ARGUMENT, field=field, message=message)
        self._door.send(lk.WorkerToDoor(abort=abort))
        self._listening, self._left = False, True
        refused = lk.LegRefused(field=field, message=message)
        self._tell(leg_refused=refused)

    def _on_door_control(self, message: lk.DoorToWorker) -> None:
        if message.HasField("first_audio_sent"):
            gateway_us = self._turn_up_us + message.first_audio_sent.down_us
            self._tell_playout(lk.Playout.MEASURED, gateway_us=gateway_us)
        elif message.HasField("leg_gone"):
            if message.leg_gone.may_return:
                self._wait_for_caller()
            else:
                self._gone(message.leg_gone.reason)

    def _on_door_end(self, door: Link) -> None:
        if door is self._door and not self._ended:
            self._wait_for_caller()

    def _wait_for_caller(self) -> None:
        if self._away is None and not self._left:
            loop = asyncio.get_running_loop()
            self._away = loop.call_later(self._resume_wait_s, self._gone, VANISHED)

    def _gone(self, reason: str) -> None:
        """The caller does not come back."""
        self._listening, self._left = False, True
        self._silence(time.monotonic())
        self._drained.set()
        self._tell(leg_gone=lk.LegGone(reason=reason))

    # ------------------------------------------------------------- the session

    def _on_session_frame(self, kind: Kind, body: bytes) -> None:
        if kind is not Kind.CONTROL:
            return
        message = lk.SessionToWorker.FromString(body)
        if not message.HasField("step"):
            self._carry_out(message)
            return
        self._journal.keep(message.step.checkpoint, message.step.events)
        for each in message.step.messages:
            self._carry_out(each)
        if self._door.peer_node_id:
            self._door.send(lk.WorkerToDoor(checkpoint=message.step.checkpoint))

    def _carry_out(self, message: lk.SessionToWorker) -> None:
        match message.WhichOneof("message"):
            case "provider_event":
                self._provider.pass_on(message.provider_event.decode())
            case "to_caller":
                self._to_caller(message.to_caller)
            case "stop_playout":
                self._cut()
            case "play":
                self._play(message.play)
            case "listen":
                self._listening = message.listen.on
            case "finish":
                if self._finishing is None:
                    self._finishing = asyncio.create_task(self._finish(message.finish.drain_ms))
            case "attach":
                if self._finishing is None:  # else nobody would hear that session
                    self._provider.dial(message.attach.dial_plan)
            case "renew":
                if not self._journal.since():  # else the session doesn't know it all
                    self._provider.renew(message.renew.dial_plan)
            case "over":
                self._over = True

    def _on_session_end(self, session: Link) -> None:
        """The session closed its link: in order when all is over, else it died."""
        if session is not self._session or self._ended:
            return
        if self._over:
            self._door.send(lk.WorkerToDoor(finished=lk.Finished()))
            self._end()
            return
        log.warning("call without its session", call_id=self.call_id)
        tell(self._agent_socket, session_lost(self.lease_id, self._session_name))
        self._orphaned = asyncio.get_running_loop().call_later(
            TAKEOVER_S, self.fail, "the call's session ended unexpectedly"
        )

    def fail(self, message: str) -> None:
        """Nobody is there to say what comes next."""
        if not self._ended:
            self._door.send(lk.WorkerToDoor(abort=lk.Abort(code=INTERNAL, message=message)))
            self._end()

    async def _finish(self, drain_ms: int) -> None:
        """Plays out what was made, closes the provider's socket, reports totals."""
        self._listening = False
        self._playout.complete_all()
        self._drained.clear()
        if self._playout.busy:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_ms / 1000):
                    await self._drained.wait()
        await self._provider.finish(abrupt=not drain_ms)
        await self._provider.hang_up()
        await self._count()
        self._tell(stats=self._stats)

    async def _count(self) -> None:
        stats, counts = self._stats, self._caller.counts
        stats.frames_in, stats.frames_lost = counts.received, counts.lost
        stats.frames_late, stats.frames_duplicate = counts.late, counts.duplicate
        stats.frames_reordered = counts.reordered
        stats.silence_ms = max(0, round(self._withheld_ms))
        stats.caller_mos_milli = round(self._caller.mos * 1000)
        stats.frames_out = self._playout.frames_out
        stats.frames_dropped += self._door.dropped_audio + self._provider.dropped_audio
        if self._recording is not None:
            self._recording.end(time.monotonic())
            stats.frames_dropped += self._recording.dropped
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SAVE_TIMEOUT_S):
                    stats.recording = await asyncio.shield(self._recording.saved)

    # ------------------------------------------------------------- the provider

    def _on_provider_state(self, state: lk.ProviderState) -> None:
        self._caller.provider_hears(False)
        self._tell(provider_state=state)

    def _on_provider(self, event: ProviderEvent, raw: bytes) -> None:
        match event:
            case AudioDelta():
                self._on_answer(event)
                return
            case AudioDone():
                self._playout.complete(event.item_id)
            case ResponseDone():
                self._playout.complete_all()
                self._meter.used(self._session_id, event)
            case RateLimits():
                self._meter.heard(event)
                return
            case SpeechStarted():
                self._caller.provider_hears(True)
                if not self._interrupts():
                    self._held_event = raw
                    return
                self._cut()
            case SpeechStopped():
                self._caller.provider_hears(False)
                self._turn_up_us = self._up_us
                if self._caller.barge_in and not self._caller.barge_in.provider_stopped():
                    self._held_event = b""  # a cough, from beginning to end
                    return
        self._tell(provider_event=raw)
        self.tick(time.monotonic())

    def _interrupts(self) -> bool:
        """The provider hears speech: does it stop the receptionist?"""
        barge_in = self._caller.barge_in
        if barge_in is None:
            return True
        return barge_in.provider_started(time.monotonic(), speaking=self._playout.busy)

    def _pass_held_event_on(self) -> None:
        held, self._held_event = self._held_event, b""
        if held:
            self._tell(provider_event=held)

    def _on_answer(self, delta: AudioDelta) -> None:
        audio = self._provider.answer(delta)
        self._stats.reception_audio_ms += self._leg_format.duration_ms(len(audio))
        self._playout.add(delta.item_id, delta.content_index, audio)
        self.tick(time.monotonic())

    def _play(self, play: lk.Play) -> None:
        """A recording, as if the provider had made it."""
        try:
            audio = sound(play.path, self._leg_format)
        except (OSError, EOFError, wave.Error) as error:
            log.warning("phrase not played", call_id=self.call_id, error=str(error))
            self._tell_playout(lk.Playout.INTERRUPTED, item_id=play.item_id)
            return
        self._stats.reception_audio_ms += self._leg_format.duration_ms(len(audio))
        self._playout.add(play.item_id, 0, audio)
        self._playout.complete(play.item_id)
        self.tick(time.monotonic())

    # ------------------------------------------------------------- playout

    @property
    def uplink(self) -> LinkSample:
        """What is known of the way to the provider."""
        return LinkSample(self._provider.backlog_ms, self._provider.round_trip_ms)

    def adapt(self, plan: Plan) -> None:
        """The worker does more or less for its calls from now on."""
        self._caller.adapt(plan)
        self._provider.adapt(plan)

    def pace(self, now_s: float) -> None:
        """Sends the frames whose time has come; called every frame time."""
        if self._away is None and self._playout.overdue(now_s):
            self._effort.missed()
        self.tick(now_s)

    def tick(self, now_s: float) -> None:
        """Sends the frames that are due, as soon as there is something to do."""
        if self._ended:
            return
        heard = self._caller.tick(now_s, speaking=self._playout.busy)
        if heard is not None:
            self._on_heard(heard, now_s)
        for out in self._playout.due(now_s) if self._away is None else ():
            if isinstance(out, FrameOut):
                self._send_frame(out, now_s)
            else:
                self._to_caller(rv.ReceptionMessage(mark=rv.Mark(name=out.name)))
        if self._hand_over_by_s < math.inf:
            self._leave_if_due(now_s)
        if self._playout.take_drained(now_s):
            self._drained.set()
            self._tell_playout(lk.Playout.DRAINED)

    def _send_frame(self, frame: FrameOut, now_s: float) -> None:
        audio = rv.Audio(
            payload=self._encoder.encode(frame.audio),
            sequence=frame.sequence,
            timestamp_ms=frame.timestamp_ms,
            item_id=frame.item_id,
        )
        # A stamp asks the door to measure; only the first frame of an answer has one.
        stamp_ns = self._provider.received_ns if frame.first else 0
        self._to_caller(rv.ReceptionMessage(audio=audio), stamp_ns)
        self._caller.played(frame)
        self._effort.sent()
        if self._recording is not None:
            self._recording.sent(frame)
        if frame.first:
            self._tell_playout(lk.Playout.STARTED, item_id=frame.item_id, at_s=now_s)

    def _cut(self) -> None:
        """Barge-in: stop, tell the leg, truncate what was not heard."""
        cut = self._silence(time.monotonic())
        if not cut:
            return
        clear = rv.ClearAudio(item_id=cut[0].item_id, heard_ms=cut[0].heard_ms)
        self._to_caller(rv.ReceptionMessage(clear_audio=clear))
        for item in cut:
            if item.heard_ms == 0 or not item.item_id.startswith(PREFIX):  # text can't be cut
                self._provider.tell(_forget_unheard(item))
        first = cut[0]
        self._tell_playout(lk.Playout.INTERRUPTED, item_id=first.item_id, heard_ms=first.heard_ms)

    def _silence(self, now_s: float) -> list[CutItem]:
        """Nothing more is played; what lost audio by that."""
        cut = self._playout.interrupt(now_s)
        if self._caller.barge_in is not None:
            self._caller.barge_in.stopped(now_s)
        if self._recording is not None:
            self._recording.cut(cut)
        return cut

    def _tell_playout(
        self,
        kind: lk.Playout.Kind,
        *,
        item_id: str = "",
        heard_ms: int = 0,
        gateway_us: int = 0,
        at_s: float | None = None,
    ) -> None:
        at_ns = time.monotonic_ns() if at_s is None else int(at_s * 1e9)
        playout = lk.Playout(
            kind=kind, item_id=item_id, heard_ms=heard_ms, gateway_us=gateway_us, at_ns=at_ns
        )
        self._tell(playout=playout)

    # ------------------------------------------------------------- the end

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._on_end(self)

    async def close(self) -> None:
        """Frees everything: sockets, tasks, links."""
        self._ended = True
        self._meter.ended(self._session_id)
        for timer in (self._orphaned, self._away):
            if timer is not None:
                timer.cancel()
        if self._recording is not None:
            self._recording.end(time.monotonic())
        await self._provider.hang_up()
        await self._door.close()
        await self._session.close()


def _forget_unheard(item: CutItem) -> ProviderCommand:
    """Nothing heard: the item goes; else it is cut where the caller heard it to."""
    if item.heard_ms == 0:
        return DeleteItem(item.item_id)
    return TruncateItem(item.item_id, item.content_index, item.heard_ms)
