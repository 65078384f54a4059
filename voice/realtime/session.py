"""One Realtime session from the server's side: client events in, server events
and requests for work out. No socket, no clock, no speech."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from voice.realtime import config as cfg
from voice.realtime.answering import Answering
from voice.realtime.errors import Refused, missing
from voice.realtime.input_audio import BYTES_PER_MS, InputAudio, Speaking, Spoken
from voice.realtime.items import Conversation, Item, item_from_client
from voice.realtime.response import Response
from voice.realtime.work import Transcribe, Work


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
        self.transcribed_s: dict[str, float] = {}  # by item
        self.expired = False
        self._id = session_id
        self._now_s, self._expires_s = now_s, now_s + max_age_s
        self._config = cfg.default(model)
        self._conversation = Conversation()
        self._numbers = 0
        self._events: list[dict[str, Any]] = []
        self._work: list[Work] = []
        self._audio = InputAudio()
        self._answering = Answering(self._emit, self._new_id, self._conversation, self._ask)
        self._speech_item = ""
        self._quiet_since_s: float | None = None
        self._emit("session.created", session=self._wire())

    @property
    def response(self) -> Response | None:
        """The one that is being made."""
        return self._answering.active

    @property
    def invoice(self) -> dict[str, dict[str, Any]]:
        """Usage by response."""
        return self._answering.invoice

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

    def expire(self, now_s: float) -> None:
        """Its time is over now."""
        self._expires_s = now_s
        self.handle_timer(now_s)

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
        if self._answering.finish(response, status, reason, error):
            self._quiet_since_s = self._now_s

    def hang_up(self) -> None:
        """The socket is gone. What was made of a response by then is billed, although
        nobody is told."""
        if self.response is not None:
            self.finish(self.response, "cancelled", "client_disconnected")

    # ------------------------------------------------------------- small steps

    def _emit(self, event_type: str, /, **fields: Any) -> None:
        self._events.append({"type": event_type, "event_id": self._new_id("event"), **fields})

    def _ask(self, work: Work) -> None:
        self._work.append(work)

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

    # ------------------------------------------------------------- the session

    def _session_update(self, event: dict[str, Any]) -> None:
        if "session" not in event:
            raise missing("session")
        before = self._turns
        self._config = cfg.updated(
            self._config, event["session"], audio_started=self._audio.started
        )
        if self._turns != before:
            self._audio.detect_anew()
        self._emit("session.updated", session=self._wire())

    # ------------------------------------------------------------- caller audio

    def _append(self, event: dict[str, Any]) -> None:
        turns = self._turns
        sound_format = cfg.audio_format(self._config, "input")
        for found in self._audio.append(event.get("audio"), sound_format, turns):
            assert turns is not None
            if isinstance(found, Speaking):
                self._speech_began(found.from_ms, turns)
            else:
                self._speech_over(found, turns)

    def _speech_began(self, from_ms: int, turns: dict[str, Any]) -> None:
        self._speech_item = self._new_id("item")
        self._quiet_since_s = None
        self._emit(
            "input_audio_buffer.speech_started", audio_start_ms=from_ms, item_id=self._speech_item
        )
        if turns["interrupt_response"]:
            self._cancel("turn_detected")

    def _speech_over(self, turn: Spoken, turns: dict[str, Any]) -> None:
        self._emit(
            "input_audio_buffer.speech_stopped",
            audio_end_ms=turn.to_ms, item_id=self._speech_item,
        )  # fmt: skip
        self._commit_audio(self._speech_item, turn.pcm16)
        if turns["create_response"]:
            self._answer()

    def _commit(self, _: dict[str, Any]) -> None:
        pcm16 = self._audio.commit()
        self._commit_audio(self._new_id("item"), pcm16)

    def _clear(self, _: dict[str, Any]) -> None:
        self._audio.clear()
        self._emit("input_audio_buffer.cleared")

    def _commit_audio(self, item_id: str, pcm16: bytes) -> None:
        item = Item(item_id, "message", "user", audio_ms=len(pcm16) // BYTES_PER_MS)
        self._commit_item(item)
        transcription = self._config["audio"]["input"]["transcription"] or {}
        language, prompt = (str(transcription.get(name) or "") for name in ("language", "prompt"))
        self._ask(Transcribe(item_id, pcm16, language or "en", prompt))

    def _idle(self) -> None:
        """Nobody said anything: the model speaks up (idle_timeout_ms)."""
        item = Item(self._new_id("item"), "message", "user", audio_ms=0)
        self._quiet_since_s = None
        self._emit(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=self._audio.begin_ms, audio_end_ms=self._audio.end_ms, item_id=item.id,
        )  # fmt: skip
        self._commit_item(item)
        self._answer()

    def _commit_item(self, item: Item) -> None:
        before = self._conversation.add(item)
        self._emit("input_audio_buffer.committed", previous_item_id=before, item_id=item.id)
        self._tell_added(item, before)

    # ------------------------------------------------------------- items

    def _item_create(self, event: dict[str, Any]) -> None:
        raw = event.get("item")
        wanted = raw.get("id") if isinstance(raw, dict) else None
        item = item_from_client(raw, str(wanted or self._new_id("item")))
        self._tell_added(item, self._conversation.add(item, event.get("previous_item_id")))

    def _tell_added(self, item: Item, before: str | None) -> None:
        for what in ("added", "done"):
            self._emit(f"conversation.item.{what}", previous_item_id=before, item=item.wire())

    def _item_retrieve(self, event: dict[str, Any]) -> None:
        item = self._conversation.get(event.get("item_id"))
        self._emit("conversation.item.retrieved", item=item.wire())

    def _item_delete(self, event: dict[str, Any]) -> None:
        self._conversation.delete(event.get("item_id"))
        self._emit("conversation.item.deleted", item_id=event["item_id"])

    def _item_truncate(self, event: dict[str, Any]) -> None:
        item_id, end_ms = event.get("item_id"), event.get("audio_end_ms")
        item = self._conversation.truncate(item_id, event.get("content_index"), end_ms)
        self._emit(
            "conversation.item.truncated",
            item_id=item.id, content_index=0, audio_end_ms=end_ms,
        )  # fmt: skip

    # ------------------------------------------------------------- responses

    def _response_create(self, event: dict[str, Any]) -> None:
        self._answering.requested(event, self._config)
        self._quiet_since_s = None

    def _answer(self) -> None:
        """The turn is the model's, unless it is answering already."""
        if self.response is None:
            self._answering.create({}, self._config)
            self._quiet_since_s = None

    def _response_cancel(self, event: dict[str, Any]) -> None:
        wanted = event.get("response_id")
        active = self.response
        if active is None or (wanted is not None and wanted != active.id):
            raise Refused(
                "Cancellation failed: no active response found", code="response_cancel_not_active"
            )
        self._cancel("client_cancelled")

    def _cancel(self, reason: str) -> None:
        active = self._answering.cancel()
        if active is not None:
            self.finish(active, "cancelled", reason)

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
