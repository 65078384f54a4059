"""A language model as the brain, over an OpenAI-compatible chat URL."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from voice.interfaces import CallTool, Question, Say, Turn

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_ROLES = {"user": "user", "assistant": "assistant", "system": "system"}


class ChatBrain:
    """Streams the model's words sentence by sentence; function calls follow.

    Args:
        base_url: such as http://127.0.0.1:11434/v1.
        model: as that server names it.
    """

    def __init__(self, base_url: str, model: str, api_key: str = "none") -> None:
        import openai  # noqa: PLC0415 - a second of CPU, only for who uses it

        self._client = openai.AsyncOpenAI(base_url=base_url, api_key=api_key)
        self._model = model

    async def answer(self, question: Question) -> AsyncIterator[Say | CallTool]:
        options: dict[str, Any] = {}
        if question.tools:
            options["tools"] = [_tool(tool) for tool in question.tools]
        stream = await self._client.chat.completions.create(
            model=self._model, messages=_messages(question), stream=True, **options
        )
        text, calls = "", dict[int, list[str]]()
        async for chunk in stream:
            if not chunk.choices:
                continue
            delta = chunk.choices[0].delta
            text += delta.content or ""
            *sentences, text = _SENTENCE_END.split(text)
            for sentence in sentences:
                yield Say(sentence)
            for call in delta.tool_calls or ():
                name_and_arguments = calls.setdefault(call.index, ["", ""])
                if call.function is not None:
                    name_and_arguments[0] += call.function.name or ""
                    name_and_arguments[1] += call.function.arguments or ""
        if text.strip():
            yield Say(text.strip())
        for name, arguments in calls.values():
            yield CallTool(name, arguments)


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = {name: value for name, value in tool.items() if name != "type"}
    return {"type": "function", "function": function}


def _messages(question: Question) -> Any:
    system = question.override or question.instructions
    return [{"role": "system", "content": system}, *(_message(turn) for turn in question.turns)]


def _message(turn: Turn) -> dict[str, Any]:
    if turn.kind == "tool_call":
        function = {"name": turn.name, "arguments": turn.arguments}
        call = {"id": turn.call_id, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if turn.kind == "tool_result":
        return {"role": "tool", "tool_call_id": turn.call_id, "content": turn.text}
    return {"role": _ROLES[turn.kind], "content": turn.text}
