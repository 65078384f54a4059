"""The function calls under way in a conversation."""

from __future__ import annotations

from dataclasses import dataclass

from reception.provider.base import AddToolCall, ProviderCommand, ToolCall, ToolResult


@dataclass(slots=True)
class ToolUse:
    """A function call; orphaned when the provider session that made it is gone."""

    call: ToolCall
    output: str | None = None
    orphaned: bool = False

    def commands(self) -> list[ProviderCommand]:
        """The result for the provider; a new session is told the call too."""
        call = self.call
        told: list[ProviderCommand] = []
        if self.orphaned:
            told.append(AddToolCall(call.call_id, call.name, call.arguments))
        return [*told, ToolResult(call.call_id, self.output or "")]


class ToolUses:
    """Each function call runs once; results are given when all have come and
    the response that made the calls is over."""

    def __init__(self) -> None:
        self._uses: dict[str, ToolUse] = {}
        self._seen: set[str] = set()

    def add(self, call: ToolCall) -> bool:
        """A call was made; False when it is known."""
        if call.call_id in self._seen:
            return False
        self._seen.add(call.call_id)
        self._uses[call.call_id] = ToolUse(call)
        return True

    def finish(self, call_id: str, output: str) -> None:
        """A call that was running gave its result."""
        self._uses[call_id].output = output

    def running(self) -> list[str]:
        return [call_id for call_id, use in self._uses.items() if use.output is None]

    def ready(self, active_response: str | None) -> bool:
        """There are results and nothing more to wait for."""
        return bool(self._uses) and all(
            use.output is not None and use.call.response_id != active_response
            for use in self._uses.values()
        )

    def orphan(self) -> None:
        """The provider session that made the calls is gone."""
        for use in self._uses.values():
            use.orphaned = True

    def take(self) -> list[ToolUse]:
        """All of them, in the order of the calls; none is left."""
        uses = list(self._uses.values())
        self._uses.clear()
        return uses

    def clear(self) -> None:
        """Nobody waits for the results any more."""
        self._uses.clear()
