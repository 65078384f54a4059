"""One Realtime session from the server's side: client events in, server events
and requests for work out. No socket, no clock, no speech."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from voice.audio import LISTEN_RATE_HZ, Ear
from voice.interfaces import Question
from voice.realtime import config as cfg
from voice.realtime.errors import Refused, missing
from voice.realtime.items import Conversation, Item, item_from_client
from voice.realtime.response import Response
from voice.vad import SpeechBegan, VoiceActivity

MAX_BUFFER_BYTES = 15 * 1024 * 1024
_BYTES_PER_MS = LISTEN_RATE_HZ * 2 // 1000
_MIN_COMMIT_MS = 100


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Recognise this item's sound, 16-bit samples at 8 kHz."""

    item_id: str
    pcm16: bytes
    language: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Make this response. `question()` gives what to answer, once the words of
    the caller are known."""

    response: Response
    question: Callable[[], Question]
    voice: str
    speed: float
    language: str


@dataclass(frozen=True, slots=True)
class StopAnswer:
    """The response that is being made is not wanted any more."""


Work = Transcribe | Answer | StopAnswer


class Session:
    """State of one connection.

    Args:
        session_id: its id.
        model: as the client asked for.
        now_s: the time of the connection; `max_age_s` after it, it expires.
    """

    def __init__(
        self, session_id: str, model: str, now_s: float, *, max_age_s: float = 3600.0
    ) -> None:
        self.invoice: dict[str, dict[str, Any]] = {}  # usage by response
        self.transcribed_s: dict[str, float] = {}  # by item
        self.response: Response | None = None
        self.expired = False
        self._id = session_id
        self._now_s, self._expires_s = now_s, now_s + max_age_s
        self._config = cfg.default(model)
        self._conversation = Conversation()
        self._numbers = 0
        self._events: list[dict[str, Any]] = []
        self._work: list[Work] = []
        self._ear: Ear | None = None
        self._vad: VoiceActivity | None = None
        self._vad_zero_ms = 0
        self._buffer = bytearray()  # 8 kHz samples, from _buffer_ms on
        self._buffer_ms = 0
        self._speech_ms: int | None = None
        self._speech_item = ""
        self._quiet_since_s: float | None = None
        self._emit("session.created", session=self._wire())

    # ------------------------------------------------------------- the shell's side

    def take(self) -> tuple[list[dict[str, Any]], list[Work]]:
        """Events to send and work to do since the last time."""
        events, work = self._events, self._work
        self._events, self._work = [], []
        return events, work

    def handle(self, raw: str | bytes, now_s: float) -> None:
        """One client message."""
        self._now_s = now_s
        event_id: Any = None
        try:
            try:
                event = json.loads(raw)
            except (ValueError, RecursionError):
                raise Refused("The message is no valid JSON.", code="invalid_json") from None
            if not isinstance(event, dict):
                raise Refused("The message must be a JSON object.", code="invalid_json")
            event_id = event.get("event_id")
            kind = event.get("type")
            if kind is None:
                raise missing("type")
            handler = _CLIENT_EVENTS.get(kind) if isinstance(kind, str) else None
            if handler is None:
                known = ", ".join(sorted(_CLIENT_EVENTS))
                raise Refused(
                    f"Invalid value: {json.dumps(kind)}. Supported: {known}.",
                    param="type",
                )
            handler(self, event)
        except Refused as refused:
            self._refuse(refused, event_id)

    def next_deadline_s(self) -> float:
        """When `handle_timer` is due."""
        idle_ms = (self._turns or {}).get("idle_timeout_ms")
        if idle_ms is None or self._quiet_since_s is None:
            return self._expires_s
        return min(self._expires_s, self._quiet_since_s + float(idle_ms) / 1000)

    def handle_timer(self, now_s: float) -> None:
        self._now_s = now_s
        if now_s >= self._expires_s:
            self.expired = True
            self._refuse(
                Refused("Your session hit the maximum duration.", code="session_expired"), None
            )
        elif now_s >= self.next_deadline_s():
            self._idle()

    def transcribed(self, item_id: str, text: str) -> None:
        """The words of a caller's item are known."""
        item = next((each for each in self._conversation.items if each.id == item_id), None)
        if item is None:
            return
        item.text = text
        if self._config["audio"]["input"]["transcription"] is None:
            return
        where = {"item_id": item_id, "content_index": 0}
        kind = "conversation.item.input_audio_transcription"
        if text:
            self._emit(f"{kind}.delta", **where, delta=text)
        seconds = (item.audio_ms or 0) / 1000
        usage = {"type": "duration", "seconds": seconds}
        self.transcribed_s[item_id] = seconds
        self._emit(f"{kind}.completed", **where, transcript=text, usage=usage)

    def transcription_failed(self, item_id: str, message: str) -> None:
        error = {"type": "server_error", "code": "transcription_failed", "message": message}
        self._emit(
            "conversation.item.input_audio_transcription.failed",
            item_id=item_id, content_index=0, error=error,
        )  # fmt: skip

    def finish(self, response: Response, status: str, reason: str = "", error: Any = None) -> None:
        """The response that is being made is over."""
        if self.response is not response:
            return
        self.response = None
        response.end(status, reason, error)
        self.invoice[response.id] = response.usage()
        self._quiet_since_s = self._now_s

    def hang_up(self) -> None:
        """The socket is gone. What was made of a response by then is billed, although
        nobody is told."""
        if self.response is not None:
            self.finish(self.response, "cancelled", "client_disconnected")

    # ------------------------------------------------------------- small steps

    def _emit(self, event_type: str, /, **fields: Any) -> None:
        self._events.append({"type": event_type, "event_id": self._new_id("event"), **fields})

    def _new_id(self, prefix: str) -> str:
        self._numbers += 1
        return f"{prefix}_{self._id[-8:]}{self._numbers:06d}"

    def _refuse(self, refused: Refused, event_id: Any) -> None:
        error = {
            "type": "invalid_request_error",
            "code": refused.code,
            "message": refused.message,
            "param": refused.param,
            "event_id": event_id if isinstance(event_id, str) else None,
        }
        self._emit("error", error=error)

    def _wire(self) -> dict[str, Any]:
        extra = {"object": "realtime.session", "id": self._id}
        return {**self._config, **extra, "expires_at": int(self._expires_s)}

    @property
    def _turns(self) -> dict[str, Any] | None:
        turns: dict[str, Any] | None = self._config["audio"]["input"]["turn_detection"]
        return turns

    def _format(self, side: str) -> str:
        return cfg.FORMATS[self._config["audio"][side]["format"]["type"]]

    # ------------------------------------------------------------- the session

    def _session_update(self, event: dict[str, Any]) -> None:
        if "session" not in event:
            raise missing("session")
        before = self._turns
        self._config = cfg.updated(
            self._config, event["session"], audio_started=self._ear is not None
        )
        if self._turns != before:
            self._vad = None
        self._emit("session.updated", session=self._wire())

    # ------------------------------------------------------------- caller audio

    def _append(self, event: dict[str, Any]) -> None:
        audio = event.get("audio")
        if not isinstance(audio, str):
            raise missing("audio")
        try:
            raw = base64.b64decode(audio, validate=True)
        except (binascii.Error, ValueError):
            raise Refused("Invalid 'audio'. Expected base64.", param="audio") from None
        if len(self._buffer) + len(raw) > MAX_BUFFER_BYTES:
            raise Refused(
                f"The input audio buffer is over {MAX_BUFFER_BYTES} bytes.",
                code="input_audio_buffer_full",
            )
        if self._ear is None:
            self._ear = Ear(self._format("input"))
        samples = self._ear.hear(raw)
        self._buffer += samples.tobytes()
        turns = self._turns
        if turns is None:
            return
        if self._vad is None:
            self._vad = VoiceActivity(turns.get("threshold", 0.5), cfg.silence_ms(turns))
            self._vad_zero_ms = self._buffer_ms + len(self._buffer) // _BYTES_PER_MS
            self._vad_zero_ms -= len(samples) * 1000 // LISTEN_RATE_HZ
        for found in self._vad.feed(samples):
            at_ms = self._vad_zero_ms + found.at_ms
            if isinstance(found, SpeechBegan):
                self._speech_began(at_ms, turns)
            else:
                self._speech_over(at_ms, turns)
        if self._speech_ms is None:
            self._forget_before(int(turns.get("prefix_padding_ms", 300)) + 200)

    def _forget_before(self, keep_ms: int) -> None:
        """While nobody speaks only the prefix of what may come is kept."""
        surplus_ms = len(self._buffer) // _BYTES_PER_MS - keep_ms
        if surplus_ms > 0:
            del self._buffer[: surplus_ms * _BYTES_PER_MS]
            self._buffer_ms += surplus_ms

    def _speech_began(self, at_ms: int, turns: dict[str, Any]) -> None:
        prefix_ms = int(turns.get("prefix_padding_ms", 300))
        self._speech_ms = max(self._buffer_ms, at_ms - prefix_ms)
        self._speech_item = self._new_id("item")
        self._quiet_since_s = None
        self._emit(
            "input_audio_buffer.speech_started",
            audio_start_ms=self._speech_ms, item_id=self._speech_item,
        )  # fmt: skip
        if turns["interrupt_response"]:
            self._cancel("turn_detected")

    def _speech_over(self, at_ms: int, turns: dict[str, Any]) -> None:
        self._emit(
            "input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=self._speech_item
        )
        begin_ms = self._speech_ms if self._speech_ms is not None else self._buffer_ms
        pcm = bytes(
            self._buffer[
                (begin_ms - self._buffer_ms) * _BYTES_PER_MS : (at_ms - self._buffer_ms)
                * _BYTES_PER_MS
            ]
        )
        del self._buffer[: (at_ms - self._buffer_ms) * _BYTES_PER_MS]
        self._buffer_ms = at_ms
        self._speech_ms = None
        self._commit_audio(self._speech_item, pcm)
        if turns["create_response"] and self.response is None:
            self._create({})

    def _commit(self, _: dict[str, Any]) -> None:
        length_ms = len(self._buffer) // _BYTES_PER_MS
        if length_ms < _MIN_COMMIT_MS:
            raise Refused(
                f"Error committing input audio buffer: buffer too small. Expected at least "
                f"{_MIN_COMMIT_MS}ms of audio, but buffer only has {length_ms:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        pcm = bytes(self._buffer)
        self._empty_buffer()
        self._commit_audio(self._new_id("item"), pcm)

    def _clear(self, _: dict[str, Any]) -> None:
        self._empty_buffer()
        self._emit("input_audio_buffer.cleared")

    def _empty_buffer(self) -> None:
        self._buffer_ms += len(self._buffer) // _BYTES_PER_MS
        self._buffer.clear()
        self._speech_ms = None
        self._vad = None

    def _commit_audio(self, item_id: str, pcm: bytes) -> None:
        item = Item(item_id, "message", "user", audio_ms=len(pcm) // _BYTES_PER_MS)
        before = self._conversation.add(item)
        self._emit("input_audio_buffer.committed", previous_item_id=before, item_id=item_id)
        self._emit("conversation.item.added", previous_item_id=before, item=item.wire())
        self._emit("conversation.item.done", previous_item_id=before, item=item.wire())
        transcription = self._config["audio"]["input"]["transcription"] or {}
        language, prompt = (str(transcription.get(name) or "") for name in ("language", "prompt"))
        self._work.append(Transcribe(item_id, pcm, language or "en", prompt))

    def _idle(self) -> None:
        """Nobody said anything: the model speaks up (idle_timeout_ms)."""
        end_ms = self._buffer_ms + len(self._buffer) // _BYTES_PER_MS
        item = Item(self._new_id("item"), "message", "user", audio_ms=0)
        self._quiet_since_s = None
        before = self._conversation.add(item)
        self._emit(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=self._buffer_ms, audio_end_ms=end_ms, item_id=item.id,
        )  # fmt: skip
        self._emit("input_audio_buffer.committed", previous_item_id=before, item_id=item.id)
        self._emit("conversation.item.added", previous_item_id=before, item=item.wire())
        self._emit("conversation.item.done", previous_item_id=before, item=item.wire())
        if self.response is None:
            self._create({})

    # ------------------------------------------------------------- items

    def _item_create(self, event: dict[str, Any]) -> None:
        raw = event.get("item")
        wanted = raw.get("id") if isinstance(raw, dict) else None
        item = item_from_client(raw, str(wanted or self._new_id("item")))
        before = self._conversation.add(item, event.get("previous_item_id"))
        self._emit("conversation.item.added", previous_item_id=before, item=item.wire())
        self._emit("conversation.item.done", previous_item_id=before, item=item.wire())

    def _item_retrieve(self, event: dict[str, Any]) -> None:
        item = self._conversation.get(event.get("item_id"))
        self._emit("conversation.item.retrieved", item=item.wire())

    def _item_delete(self, event: dict[str, Any]) -> None:
        self._conversation.delete(event.get("item_id"))
        self._emit("conversation.item.deleted", item_id=event["item_id"])

    def _item_truncate(self, event: dict[str, Any]) -> None:
        item = self._conversation.get(event.get("item_id"))
        if item.role != "assistant" or item.audio_ms is None:
            raise Refused("Only model output audio messages can be truncated.", param="item_id")
        end_ms, index = event.get("audio_end_ms"), event.get("content_index")
        if index != 0:
            raise Refused(f"Invalid content_index {index!r}.", param="content_index")
        if not isinstance(end_ms, int) or end_ms < 0:
            raise Refused(f"Invalid value: {end_ms!r}.", param="audio_end_ms")
        if end_ms > item.audio_ms:
            raise Refused(
                f"Audio content of {item.audio_ms}ms is already shorter than {end_ms}ms",
                param="audio_end_ms",
            )
        kept = len(item.text) * end_ms // max(1, item.audio_ms)
        item.text, item.audio_ms = item.text[:kept].rstrip(), end_ms
        self._emit(
            "conversation.item.truncated",
            item_id=item.id, content_index=0, audio_end_ms=end_ms,
        )  # fmt: skip

    # ------------------------------------------------------------- responses

    def _response_create(self, event: dict[str, Any]) -> None:
        if self.response is not None:
            raise Refused(
                f"Conversation already has an active response in progress: {self.response.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        asked = event.get("response") or {}
        if not isinstance(asked, dict):
            raise Refused("Invalid value: 'response' must be an object.", param="response")
        self._create(asked)

    def _create(self, asked: dict[str, Any]) -> None:
        config = self._config
        tools = asked.get("tools", config["tools"])
        if asked.get("tool_choice", config["tool_choice"]) == "none":
            tools = []
        modalities = asked.get("output_modalities", config["output_modalities"])
        audio_format = self._format("output") if modalities == ["audio"] else None
        limit = asked.get("max_output_tokens", config["max_output_tokens"])
        out_of_band = asked.get("conversation") == "none"
        override = str(asked.get("instructions") or "")
        prefix = (override or config["instructions"]) + json.dumps(tools)
        turns_of = self._turns_for(asked, out_of_band)
        self._conversation.cut_back(*cfg.cut_back(config))
        self.response = Response(
            self._emit,
            self._new_id,
            self._conversation,
            self._conversation.input_usage(prefix),
            audio_format,
            None if limit == "inf" else int(limit),
            asked.get("metadata"),
            out_of_band,
        )
        self.response.begin()
        self._rate_limits()
        self._quiet_since_s = None
        transcription = config["audio"]["input"]["transcription"] or {}
        language = str(transcription.get("language") or "en")

        def question() -> Question:
            return Question(config["instructions"], override, turns_of(), tuple(tools), language)

        out = config["audio"]["output"]
        voice, speed = str(out["voice"]), float(out["speed"])
        self._work.append(Answer(self.response, question, voice, speed, language))

    def _turns_for(self, asked: dict[str, Any], out_of_band: bool) -> Callable[[], Any]:
        """The conversation for the brain; out of band it may bring its own input."""
        given = asked.get("input")
        if out_of_band and isinstance(given, list):
            items = [item_from_client(raw, f"input_{at}") for at, raw in enumerate(given)]
            return lambda: tuple(item.turn() for item in items)
        conversation = self._conversation
        return lambda: tuple(item.turn() for item in conversation.remembered())

    def _rate_limits(self) -> None:
        limits = [
            {"name": name, "limit": limit, "remaining": limit - 1, "reset_seconds": 0.06}
            for name, limit in (("requests", 1_000_000), ("tokens", 1_000_000_000))
        ]
        self._emit("rate_limits.updated", rate_limits=limits)

    def _response_cancel(self, event: dict[str, Any]) -> None:
        wanted = event.get("response_id")
        active = self.response
        if active is None or (wanted is not None and wanted != active.id):
            raise Refused(
                "Cancellation failed: no active response found", code="response_cancel_not_active"
            )
        self._cancel("client_cancelled")

    def _cancel(self, reason: str) -> None:
        if self.response is not None:
            self._work.append(StopAnswer())
            self.finish(self.response, "cancelled", reason)

    def _output_clear(self, _: dict[str, Any]) -> None:
        raise Refused(
            "output_audio_buffer.clear is for WebRTC and SIP only.", code="unsupported_event"
        )


_CLIENT_EVENTS: dict[str, Callable[[Session, dict[str, Any]], None]] = {
    "session.update": Session._session_update,
    "input_audio_buffer.append": Session._append,
    "input_audio_buffer.commit": Session._commit,
    "input_audio_buffer.clear": Session._clear,
    "output_audio_buffer.clear": Session._output_clear,
    "conversation.item.create": Session._item_create,
    "conversation.item.retrieve": Session._item_retrieve,
    "conversation.item.truncate": Session._item_truncate,
    "conversation.item.delete": Session._item_delete,
    "response.create": Session._response_create,
    "response.cancel": Session._response_cancel,
}
