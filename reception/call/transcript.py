"""What was said in a call, in the order of the conversation."""

from __future__ import annotations

from dataclasses import dataclass

from reception.call.record import Said
from reception.media.speech import CHARS_PER_S
from reception.provider.base import AddText, AddToolCall, ProviderCommand, ToolResult


@dataclass(slots=True)
class _Entry:
    who: str
    item_id: str
    at_ms: int
    text: str = ""
    heard_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _ToolUse:
    call_id: str
    name: str
    arguments: str
    output: str


class Transcript:
    """Entries are made when speech begins, so that words which are recognised
    late stand where they were spoken."""

    def __init__(self) -> None:
        self._entries: list[_Entry | _ToolUse] = []

    def began(self, who: str, item_id: str, at_ms: int) -> None:
        """Speech of an item began; known items are left as they are."""
        if self._find(item_id) is None:
            self._entries.append(_Entry(who, item_id, at_ms))

    def add(self, who: str, item_id: str, text: str, final: bool, at_ms: int) -> None:
        """New words (or all of them) of an item."""
        self.began(who, item_id, at_ms)
        entry = self._find(item_id)
        assert entry is not None
        if entry.heard_ms is None:
            entry.text = text if final else entry.text + text

    def cut(self, item_id: str, heard_ms: int, heard: str | None = None) -> None:
        """The caller heard only this much of an answer: keep what was heard.

        Args:
            heard: the words. Where they are not known they are taken to be evenly
                spread at the usual pace of speech.
        """
        entry = self._find(item_id)
        if entry is None:
            return
        entry.heard_ms = heard_ms
        keep = int(heard_ms / 1000 * CHARS_PER_S)
        if heard is not None:
            entry.text = heard
        elif keep < len(entry.text):
            entry.text = entry.text[:keep].rpartition(" ")[0] + " …"

    def tool(self, call_id: str, name: str, arguments: str, output: str) -> None:
        """A function call and what it gave."""
        self._entries.append(_ToolUse(call_id, name, arguments, output))

    def unread(self) -> bool:
        """The caller's last words are not known (yet)."""
        callers = (each for each in reversed(self._entries)
                   if isinstance(each, _Entry) and each.who == "caller")  # fmt: skip
        last = next(callers, None)
        return last is not None and not last.text

    def said(self) -> tuple[Said, ...]:
        """The words, without items of which nothing was understood or heard."""
        return tuple(
            Said(
                entry.who,
                entry.text.strip(),
                entry.at_ms,
                entry.item_id,
                entry.heard_ms is not None,
                entry.heard_ms,
            )
            for entry in self._entries
            if isinstance(entry, _Entry) and entry.text.strip(" …")
        )

    def replay(self) -> list[ProviderCommand]:
        """The conversation as commands for a new provider session."""
        commands: list[ProviderCommand] = []
        for entry in self._entries:
            if isinstance(entry, _ToolUse):
                commands.append(AddToolCall(entry.call_id, entry.name, entry.arguments))
                commands.append(ToolResult(entry.call_id, entry.output))
            elif entry.text.strip(" …"):
                role = "user" if entry.who == "caller" else "assistant"
                commands.append(AddText(role, entry.text.strip()))
        return commands

    def _find(self, item_id: str) -> _Entry | None:
        for entry in reversed(self._entries):
            if isinstance(entry, _Entry) and entry.item_id == item_id:
                return entry
        return None
