"""The items of a conversation, and what they cost as input.

OpenAI's rules: 1 token for 100 ms of the caller's audio, 1 for 50 ms of the
assistant's; text is taken as 1 token for 4 characters.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from voice.interfaces import Turn
from voice.realtime.errors import Refused, missing

CALLER_MS_PER_TOKEN = 100
ASSISTANT_MS_PER_TOKEN = 50
CHARS_PER_TOKEN = 4
ROLES = ("user", "assistant", "system")


def text_tokens(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


def audio_tokens(ms: int, ms_per_token: int) -> int:
    return -(-ms // ms_per_token)


@dataclass(slots=True)
class Item:
    """One item. kind: message, function_call or function_call_output; audio_ms
    is its sound's length (of an answer: what was generated or kept); forgotten: the
    model reads it no more."""

    id: str
    kind: str
    role: str = ""
    text: str = ""
    audio_ms: int | None = None
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    status: str = "completed"
    content_type: str = ""
    pcm: bytes = field(default=b"", repr=False)
    forgotten: bool = False

    def tokens(self) -> tuple[int, int]:
        """(text tokens, audio tokens) as input of a response."""
        if self.audio_ms is not None:
            rate = CALLER_MS_PER_TOKEN if self.role == "user" else ASSISTANT_MS_PER_TOKEN
            return 0, audio_tokens(self.audio_ms, rate)
        return text_tokens(self.text + self.name + self.arguments), 0

    def wire(self) -> dict[str, Any]:
        """As the protocol shows it (never with its sound)."""
        base = {"id": self.id, "object": "realtime.item", "type": self.kind}
        if self.kind == "function_call":
            return base | {
                "status": self.status,
                "name": self.name,
                "call_id": self.call_id,
                "arguments": self.arguments,
            }
        if self.kind == "function_call_output":
            return base | {"call_id": self.call_id, "output": self.text}
        content: list[dict[str, Any]] = []
        if self.audio_ms is not None:
            kind = "input_audio" if self.role == "user" else "output_audio"
            content = [{"type": kind, "transcript": self.text or None}]
        elif self.text:
            content = [{"type": self.content_type or "output_text", "text": self.text}]
        if self.status == "in_progress":
            content = []
        return base | {"status": self.status, "role": self.role, "content": content}

    def turn(self) -> Turn:
        """As the brain sees it."""
        if self.kind == "function_call":
            return Turn("tool_call", "", self.name, self.arguments, self.call_id)
        if self.kind == "function_call_output":
            return Turn("tool_result", self.text, call_id=self.call_id)
        return Turn(self.role, self.text)


def item_from_client(raw: Any, item_id: str) -> Item:
    """An item of conversation.item.create. Raises Refused."""
    if not isinstance(raw, dict):
        raise missing("item")
    match raw.get("type"):
        case "message":
            return _message(raw, item_id)
        case "function_call":
            for name in ("name", "arguments"):
                if not isinstance(raw.get(name), str):
                    raise missing(f"item.{name}")
            return Item(
                item_id,
                "function_call",
                name=raw["name"],
                arguments=raw["arguments"],
                call_id=str(raw.get("call_id") or item_id),
            )
        case "function_call_output":
            for name in ("call_id", "output"):
                if not isinstance(raw.get(name), str):
                    raise missing(f"item.{name}")
            return Item(item_id, "function_call_output", text=raw["output"], call_id=raw["call_id"])
        case other:
            raise Refused(f"Invalid value: {json.dumps(other)}.", param="item.type")


def _message(raw: dict[str, Any], item_id: str) -> Item:
    role = raw.get("role")
    if role not in ROLES:
        raise Refused(f"Invalid value: {json.dumps(role)}.", param="item.role")
    parts = raw.get("content")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise missing("item.content")
    allowed = ("output_text",) if role == "assistant" else ("input_text",)
    texts = []
    for number, part in enumerate(parts):
        if part.get("type") not in allowed or not isinstance(part.get("text"), str):
            raise Refused(
                f"Invalid value: {json.dumps(part.get('type'))}. Supported values are: "
                f"{', '.join(allowed)}.",
                param=f"item.content[{number}].type",
            )
        texts.append(part["text"])
    return Item(item_id, "message", role, "".join(texts), content_type=allowed[0])


class Conversation:
    """Items in order, and what of them the provider's cache would know."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._cached: list[tuple[str, int, int]] = []

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Puts an item at its place; returns the id of the one before it.

        Args:
            after: id of the item before it, "root" for the beginning, None for
                the end.
        """
        at = len(self.items)
        if after == "root":
            at = 0
        elif after is not None:
            at = self._index(after, "previous_item_id") + 1
        if any(each.id == item.id for each in self.items):
            raise Refused(
                f"Item with id '{item.id}' already exists.",
                code="item_already_exists",
                param="item.id",
            )
        self.items.insert(at, item)
        return self.items[at - 1].id if at else None

    def get(self, item_id: Any) -> Item:
        return self.items[self._index(item_id, "item_id")]

    def delete(self, item_id: Any) -> None:
        del self.items[self._index(item_id, "item_id")]

    def truncate(self, item_id: Any, index: Any, end_ms: Any) -> Item:
        """Of a spoken answer only the sound up to `end_ms` was heard: its words shrink with it.

        Raises:
            Refused: it is no spoken answer, or shorter than that.
        """
        item = self.get(item_id)
        if item.role != "assistant" or item.audio_ms is None:
            raise Refused("Only model output audio messages can be truncated.", param="item_id")
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
        return item

    def _index(self, item_id: Any, param: str) -> int:
        for at, item in enumerate(self.items):
            if item.id == item_id:
                return at
        raise Refused(
            f"Item with id {json.dumps(item_id)} not found.", code="item_not_found", param=param
        )

    def remembered(self) -> list[Item]:
        """What the model reads."""
        return [item for item in self.items if not item.forgotten]

    def cut_back(self, limit_tokens: int, keep_tokens: int) -> None:
        """Forgets the oldest items until `keep_tokens` are left, when there are more than
        `limit_tokens`."""
        items = self.remembered()
        tokens = sum(sum(item.tokens()) for item in items)
        if tokens <= limit_tokens:
            return
        for item in items:
            if tokens <= keep_tokens:
                return
            item.forgotten = True
            tokens -= sum(item.tokens())

    def input_usage(self, prefix: str) -> dict[str, Any]:
        """The input part of a response's usage: the whole conversation, of which
        the part that the last response also had is cached, in steps of 64."""
        blocks = [(prefix, text_tokens(prefix), 0)]
        blocks += [(item.id, *item.tokens()) for item in self.remembered()]
        text, audio = sum(block[1] for block in blocks), sum(block[2] for block in blocks)
        same_text = same_audio = 0
        for block, known in zip(blocks, self._cached, strict=False):
            if block != known:
                break
            same_text, same_audio = same_text + block[1], same_audio + block[2]
        cached = (same_text + same_audio) // 64 * 64
        cached_text = min(cached, same_text)
        self._cached = blocks
        return {
            "text_tokens": text,
            "audio_tokens": audio,
            "image_tokens": 0,
            "cached_tokens": cached,
            "cached_tokens_details": {
                "text_tokens": cached_text,
                "audio_tokens": cached - cached_text,
                "image_tokens": 0,
            },
        }
