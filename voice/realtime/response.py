"""One response under way: its events in the protocol's order."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from reception.media.codecs import PROVIDER_FORMATS, AudioFormat
from voice.realtime.items import (
    ASSISTANT_MS_PER_TOKEN,
    Conversation,
    Item,
    audio_tokens,
    text_tokens,
)

Emit = Callable[..., None]
DELTA_MS = 200


class Response:
    """Builds output items from words, sound and function calls.

    Args:
        emit: emits a server event of a type with fields.
        new_id: makes an id with a prefix.
        audio_format: of the sound (a provider format's name); None for text-only output.
        max_tokens: output tokens at most; None for no bound.
        out_of_band: its items don't join the conversation.
    """

    def __init__(
        self,
        emit: Emit,
        new_id: Callable[[str], str],
        conversation: Conversation,
        input_usage: dict[str, Any],
        audio_format: str | None,
        max_tokens: int | None = None,
        metadata: Any = None,
        out_of_band: bool = False,
    ) -> None:
        self.id = new_id("resp")
        self.status = "in_progress"
        self._emit, self._new_id = emit, new_id
        self._conversation = conversation
        self._input = input_usage
        self.audio_format = audio_format
        self._format: AudioFormat | None = PROVIDER_FORMATS[audio_format] if audio_format else None
        self._max_tokens = max_tokens
        self._metadata = metadata
        self._out_of_band = out_of_band
        self._output: list[Item] = []
        self._message: Item | None = None
        self._audio_bytes = 0
        self._text_tokens = self._audio_tokens = 0

    def begin(self) -> None:
        self._emit("response.created", response=self.wire())

    # ------------------------------------------------------------- words and sound

    def say(self, text: str) -> None:
        """The next words of the spoken (or written) answer."""
        message = self._message or self._open_message()
        delta = text if not message.text else f" {text}"
        message.text += delta
        kind = "output_text" if self._format is None else "output_audio_transcript"
        self._emit(f"response.{kind}.delta", **self._where(), delta=delta)
        self._text_tokens += text_tokens(delta)

    def sound(self, audio: bytes) -> None:
        """Sound of the words said so far; at most DELTA_MS in one event."""
        assert self._format is not None
        step = self._format.bytes_per_ms * DELTA_MS
        for at in range(0, len(audio), step):
            piece = audio[at : at + step]
            self._audio_bytes += len(piece)
            self._emit(
                "response.output_audio.delta",
                **self._where(),
                delta=base64.b64encode(piece).decode(),
            )
        message = self._message
        assert message is not None
        message.audio_ms = self._format.duration_ms(self._audio_bytes)

    def _open_message(self) -> Item:
        self._message = Item(self._new_id("item"), "message", "assistant", status="in_progress")
        if self._format is not None:
            self._message.audio_ms = 0
        self._audio_bytes = 0
        self._open(self._message)
        self._emit("response.content_part.added", **self._where(), part=self._part(""))
        return self._message

    def _part(self, text: str) -> dict[str, Any]:
        if self._format is None:
            return {"type": "text", "text": text}
        return {"type": "audio", "transcript": text}

    def _where(self) -> dict[str, Any]:
        assert self._message is not None
        return {
            "response_id": self.id,
            "item_id": self._message.id,
            "output_index": len(self._output) - 1,
            "content_index": 0,
        }

    def _open(self, item: Item) -> None:
        self._output.append(item)
        index = len(self._output) - 1
        self._emit(
            "response.output_item.added",
            response_id=self.id, output_index=index, item=item.wire(),
        )  # fmt: skip
        if not self._out_of_band:
            before = self._conversation.add(item)
            self._emit("conversation.item.added", previous_item_id=before, item=item.wire())

    def _close(self, item: Item, status: str) -> None:
        item.status = status
        index = self._output.index(item)
        self._emit(
            "response.output_item.done",
            response_id=self.id, output_index=index, item=item.wire(),
        )  # fmt: skip
        if not self._out_of_band and item in self._conversation.items:
            self._emit("conversation.item.done", previous_item_id=None, item=item.wire())

    def _close_message(self, status: str) -> None:
        message = self._message
        if message is None:
            return
        where, text = self._where(), message.text
        if self._format is None:
            self._emit("response.output_text.done", **where, text=text)
        else:
            self._audio_tokens += audio_tokens(message.audio_ms or 0, ASSISTANT_MS_PER_TOKEN)
            self._emit("response.output_audio.done", **where)
            self._emit("response.output_audio_transcript.done", **where, transcript=text)
        self._emit("response.content_part.done", **where, part=self._part(text))
        self._close(message, status)
        self._message = None

    # ------------------------------------------------------------- function calls

    def call(self, name: str, arguments: str) -> None:
        """A function call, after what was said."""
        self._close_message("completed")
        item = Item(
            self._new_id("item"), "function_call", name=name,
            call_id=self._new_id("call"), status="in_progress",
        )  # fmt: skip
        self._open(item)
        where = {
            "response_id": self.id, "item_id": item.id,
            "output_index": len(self._output) - 1, "call_id": item.call_id,
        }  # fmt: skip
        item.arguments = arguments
        self._text_tokens += text_tokens(name + arguments)
        self._emit("response.function_call_arguments.delta", **where, delta=arguments)
        self._emit("response.function_call_arguments.done", **where, name=name, arguments=arguments)
        self._close(item, "completed")

    # ------------------------------------------------------------- the end

    @property
    def over_limit(self) -> bool:
        """The output has reached its bound of tokens."""
        sounding = 0
        if self._message is not None and self._message.audio_ms:
            sounding = audio_tokens(self._message.audio_ms, ASSISTANT_MS_PER_TOKEN)
        used = self._text_tokens + self._audio_tokens + sounding
        return self._max_tokens is not None and used >= self._max_tokens

    def end(self, status: str, reason: str = "", error: dict[str, Any] | None = None) -> None:
        """The last events. All audio that was generated is billed."""
        self._close_message("completed" if status == "completed" else "incomplete")
        self.status = status
        details: dict[str, Any] | None = None
        if status != "completed":
            details = {"type": status}
            if reason:
                details["reason"] = reason
            if error:
                details["error"] = error
        self._emit("response.done", response=self.wire(details))

    def usage(self) -> dict[str, Any]:
        out = {"text_tokens": self._text_tokens, "audio_tokens": self._audio_tokens}
        into = self._input["text_tokens"] + self._input["audio_tokens"]
        made = self._text_tokens + self._audio_tokens
        return {
            "total_tokens": into + made,
            "input_tokens": into,
            "output_tokens": made,
            "input_token_details": self._input,
            "output_token_details": out,
        }

    def wire(self, details: dict[str, Any] | None = None) -> dict[str, Any]:
        done = self.status != "in_progress"
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": details,
            "output": [item.wire() for item in self._output] if done else [],
            "conversation_id": None if self._out_of_band else "conv_1",
            "output_modalities": ["text"] if self._format is None else ["audio"],
            "max_output_tokens": self._max_tokens or "inf",
            "metadata": self._metadata,
            "usage": self.usage() if done else None,
        }
