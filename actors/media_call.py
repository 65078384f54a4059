"""One call's media leg in an audio worker: stream, playout, provider socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Callable

from google.protobuf.message import DecodeError

from actors.caller_leg import CallerLeg, Heard
from actors.door_side import INTERNAL, DoorSide
from actors.effort import Effort
from actors.link import Link
from actors.provider_leg import ProviderLeg
from actors.provider_meter import ProviderMeter
from actors.recording import Recorder, Recording
from actors.session_side import SessionSide
from actors.speaker import Speaker
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call.validation import LegGuard
from reception.errors import ReceptionError
from reception.framing import Kind, split_audio
from reception.media.adaptation import Plan
from reception.media.codecs import AudioFormat
from reception.media.leg import LegConfig
from reception.media.turns import LocalTurns
from reception.media.uplink import LinkSample
from reception.provider.base import (
    AssistantTranscript,
    AudioDelta,
    AudioDone,
    ProviderEvent,
    RateLimits,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
)

INVALID_ARGUMENT = 3
SAVE_TIMEOUT_S = 2.0
HAND_OVER_S = 5.0  # to wait for a pause
STATS_EVERY_S = 10.0  # of the leg so much is lost at most when this process dies


class MediaCall:
    """Joins the door's link, the session's link and the provider's socket.

    Everything that happens per frame happens here, in callbacks of the links;
    what to say and do is the session's business. When the session dies, audio goes on
    both ways, until another one takes its place (`adopt`). When the caller's stream
    breaks, the receptionist is silent, until the caller is back at a door (`adopt_door`)
    or the wait is over.
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
        self.call_id, self.lease_id = attach.call_id, attach.lease_id
        self._session_id, self._meter = attach.session_id, meter
        meter.began(self._session_id)
        self._on_end = on_end
        self._door = DoorSide(
            door,
            resume_wait_s,
            self._on_door_frame,
            self._gone,
            lambda: self.fail("too much waits for a caller who is away"),
        )
        self._session = SessionSide(
            session,
            attach,
            agent_socket,
            self._on_session,
            self._door.keep,
            self._on_session_over,
            self.fail,
        )
        config = LegConfig.of(json.loads(attach.leg_config))
        self._effort, self._leg = effort, AudioFormat(config.codec, config.rate_hz)
        self._caller = CallerLeg(config, effort.plan)
        self._leg_format = self._caller.format
        self._recording: Recording | None = None
        if config.recording != "off" and attach.dial_plan:
            kind = effort.plan.recording_for(config.recording)
            self._recording = recorder.start(
                attach.call_id, self._leg_format, kind, time.monotonic()
            )
        self._held_event = b""  # the provider's, that the caller began to speak
        self._guard = LegGuard(config.codec, config.rate_hz)
        self._stats, self._stats_due_s = lk.LegStats(), time.monotonic() + STATS_EVERY_S
        self._provider = ProviderLeg(
            self._leg_format,
            effort.plan,
            self._on_provider,
            self._on_provider_state,
            lambda made: self._session.tell(answer_audio=made),
            meter.dialled,
            LocalTurns(config.generation) if config.turn_ms else None,
        )
        self._speaker = Speaker(
            self.call_id,
            config,
            self._door,
            self._session,
            self._caller,
            self._provider,
            self._recording,
            effort,
            self.tick,
            self._pass_on,
        )
        self._first_plan = attach.dial_plan
        self._listening = config.listening
        self._finishing: asyncio.Task[None] | None = None
        self._hand_over_by_s = math.inf
        self._ended = False
        self._up_us = 0
        self._turn_up_us = 0
        self._withheld_ms: float = 0  # of the caller's silence, from the provider

    def begin(self) -> None:
        """Tells both sides that the call is up and starts to serve them."""
        self._session.attached()
        if self._first_plan:  # else the call comes to be ended only
            self._provider.dial(self._first_plan)
        self._door.open()
        self._session.open()

    def adopt_door(self, door: Link) -> None:
        """The caller is back, at this door; where the stream before is still there, it
        ends."""
        self._door.move(door)
        self._guard = self._guard.anew()
        now_s = time.monotonic()
        self._on_heard(self._caller.restart(now_s, speaking=self._speaker.busy), now_s)
        self._door.open()

    def adopt(self, session: Link, name: str) -> None:
        """Another session goes on where the one before it was; that is cut off."""
        self._session.adopt(session, name)

    def hand_over(self) -> None:
        """The door is to bring the call to another node, as soon as nobody is spoken to."""
        self._hand_over_by_s = time.monotonic() + HAND_OVER_S
        self.tick(time.monotonic())

    def _leave_if_due(self, now_s: float) -> None:
        if self._speaker.has_more and now_s < self._hand_over_by_s:
            return
        self._hand_over_by_s = math.inf
        self._speaker.silence(now_s)
        self._door.hand_over(self._session.checkpoint)

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
            self.refuse("message is no valid CallerMessage", "message")
        except ReceptionError as error:
            self.refuse(error.message, error.field)

    def _on_caller(self, message: rv.CallerMessage, raw: bytes, stamp_ns: int) -> None:
        match message.WhichOneof("message"):
            case "audio":
                self._on_audio(message.audio, stamp_ns)
                return
            case "mark":
                self._guard.mark(message.mark.name)
                self._speaker.mark_reached(message.mark.name, time.monotonic())
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
                self.refuse("message is empty: exactly one field must be set", "message")
                return
        self._session.tell(from_caller=raw)

    def _on_audio(self, audio: rv.Audio, stamp_ns: int) -> None:
        self._guard.audio(len(audio.payload))
        now_s, speaking = time.monotonic(), self._speaker.busy
        heard = self._caller.receive(audio.payload, audio.sequence, now_s, speaking=speaking)
        self._on_heard(heard, now_s)
        self._up_us = max(0, time.monotonic_ns() - stamp_ns) // 1000
        self._effort.passed_on(self._up_us)

    def _on_heard(self, heard: Heard, now_s: float) -> None:
        if heard.interrupts and self._listening:
            self._speaker.cut(now_s)
            self._pass_held_event_on()
        if heard.keys:
            pressed = rv.CallerMessage(dtmf=rv.Dtmf(digits=heard.keys))
            self._session.tell(from_caller=pressed.SerializeToString())
        if heard.began and self._listening:
            self._provider.turn_begins()
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
        if heard.ended and self._listening:
            self._provider.turn_ends()

    def refuse(self, message: str, field: str, code: int = INVALID_ARGUMENT) -> None:
        """Ends the caller's stream with an error; the session hears of it."""
        if self._ended:
            return
        self._door.refuse(code, message, field)
        self._door.left()
        self._listening = False
        self._session.tell(leg_refused=lk.LegRefused(field=field, message=message))

    def _on_door_control(self, message: lk.DoorToWorker) -> None:
        if message.HasField("first_audio_sent"):
            self._speaker.measured(self._turn_up_us, message.first_audio_sent.down_us)
        elif message.HasField("leg_gone"):
            if message.leg_gone.may_return:
                self._door.wait()
            else:
                self._gone(message.leg_gone.reason)

    def _gone(self, reason: str) -> None:
        """The caller does not come back."""
        self._listening = False
        self._door.left()
        self._speaker.silence(time.monotonic())
        self._session.tell(leg_gone=lk.LegGone(reason=reason))

    # ------------------------------------------------------------- the session

    def _on_session(self, message: lk.SessionToWorker) -> None:
        match message.WhichOneof("message"):
            case "provider_event":
                self._provider.pass_on(message.provider_event.decode())
            case "to_caller":
                self._door.to_caller(message.to_caller)
            case "stop_playout":
                self._speaker.cut(time.monotonic())
            case "play":
                self._speaker.play(message.play.item_id, message.play.path, message.play.text)
            case "listen":
                self._listening = message.listen.on
                self._provider.drop_turn()
            case "finish":
                if self._finishing is None:
                    self._finishing = asyncio.create_task(self._finish(message.finish.drain_ms))
            case "attach":
                if self._finishing is None:  # else nobody would hear that session
                    self._provider.dial(message.attach.dial_plan)
            case "renew":
                if self._session.knows_all:  # else the session doesn't know it all
                    self._provider.renew(message.renew.dial_plan)

    def _on_session_over(self) -> None:
        self._door.finish()
        self._end()

    def fail(self, message: str) -> None:
        """Nobody is there to say what comes next."""
        if not self._ended:
            self._door.refuse(INTERNAL, message)
            self._end()

    async def _finish(self, drain_ms: int) -> None:
        """Plays out what was made, closes the provider's socket, reports totals."""
        self._listening = False
        await self._speaker.play_out(drain_ms / 1000)
        await self._provider.finish(abrupt=not drain_ms)
        await self._provider.hang_up()
        await self._save_recording()
        self._session.tell(stats=self._count())

    def look(self, now_s: float) -> None:
        """Tells the session now and then what the leg came to: should this process die,
        the rest is lost."""
        if now_s >= self._stats_due_s and not self._ended:
            self._stats_due_s = now_s + STATS_EVERY_S
            self._session.mention(so_far=self._count())

    def _count(self) -> lk.LegStats:
        stats, counts, quality = self._stats, self._caller.counts, self._caller.quality
        stats.frames_in, stats.frames_lost = counts.received, counts.lost
        stats.frames_late, stats.frames_duplicate = counts.late, counts.duplicate
        stats.frames_reordered = counts.reordered
        stats.silence_ms = max(0, round(self._withheld_ms))
        stats.caller_mos_milli = round(quality.mos * 1000)
        stats.caller_clipped_ppm = round(quality.clipped_share * 1e6)
        stats.caller_silent_milli = round(quality.silent_share * 1000)
        stats.caller_level_dbov = round(quality.level_dbov)
        stats.reception_audio_ms = self._speaker.audio_ms
        stats.frames_out = self._speaker.frames_out
        stats.frames_dropped = self._door.dropped_audio + self._provider.dropped_audio
        if self._recording is not None:
            stats.frames_dropped += self._recording.dropped
        return stats

    async def _save_recording(self) -> None:
        if self._recording is None:
            return
        self._recording.end(time.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SAVE_TIMEOUT_S):
                self._stats.recording = await asyncio.shield(self._recording.saved)

    # ------------------------------------------------------------- the provider

    def _on_provider_state(self, state: lk.ProviderState) -> None:
        self._caller.provider_hears(False)
        self._speaker.provider_lost()
        if not state.up:
            state.audio_format = self._effort.provider_format(self._leg)
        self._session.tell(provider_state=state)

    def _on_provider(self, event: ProviderEvent, raw: bytes) -> None:
        match event:
            case AudioDelta():
                audio = self._provider.answer(event)
                self._speaker.add(event.item_id, event.content_index, audio)
                return
            case AudioDone():
                self._speaker.complete(event.item_id)
            case ResponseStarted():
                self._speaker.answer_began()
            case AssistantTranscript():
                self._speaker.words(event)
            case ResponseDone():
                self._meter.used(self._session_id, event)
                self._speaker.answer_over(event, raw)
                return
            case RateLimits():
                self._meter.heard(event)
                return
            case SpeechStarted():
                now_s, speaking = time.monotonic(), self._speaker.busy
                if not self._caller.speech_started(now_s, speaking=speaking):
                    self._held_event = raw
                    return
                self._held_event = b""
                self._speaker.cut(now_s)
            case SpeechStopped():
                self._turn_up_us = self._up_us
                if not self._caller.speech_stopped():
                    self._held_event = b""  # a cough, from beginning to end
                    self._provider.drop_turn()
                    return
                self._provider.take_turn()
                self._pass_held_event_on()
        self._pass_on(raw)

    def _pass_on(self, raw: bytes) -> None:
        """A message of the provider's that the session is to know."""
        self._session.tell(provider_event=raw)
        self.tick(time.monotonic())

    def _pass_held_event_on(self) -> None:
        held, self._held_event = self._held_event, b""
        if held:
            self._session.tell(provider_event=held)

    # ------------------------------------------------------------- the time

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
        if self._speaker.overdue(now_s):
            self._effort.missed()
        self.tick(now_s)

    def tick(self, now_s: float) -> None:
        """Sends the frames that are due, as soon as there is something to do."""
        if self._ended:
            return
        heard = self._caller.tick(now_s, speaking=self._speaker.busy)
        if heard is not None:
            self._on_heard(heard, now_s)
        self._speaker.send_due(now_s)
        if self._hand_over_by_s < math.inf:
            self._leave_if_due(now_s)
        self._speaker.tell_if_drained(now_s)

    # ------------------------------------------------------------- the end

    def _end(self) -> None:
        if self._ended:
            return
        self._stop()
        self._on_end(self)

    def _stop(self) -> None:
        self._ended = True
        self._speaker.close()
        self._door.stop()
        self._session.stop()

    async def close(self) -> None:
        """Frees everything: sockets, tasks, links."""
        self._stop()
        self._meter.ended(self._session_id)
        if self._recording is not None:
            self._recording.end(time.monotonic())
        await self._provider.hang_up()
        await self._door.close()
        await self._session.close()
