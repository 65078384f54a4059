"""The responses of a session: at most one is being made, the others are billed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from voice.interfaces import Question
from voice.realtime import config as cfg
from voice.realtime.errors import Refused
from voice.realtime.items import Conversation, item_from_client
from voice.realtime.response import Emit, Response
from voice.realtime.work import Answer, StopAnswer, Work


class Answering:
    """
    Args:
        emit: takes server events.
        new_id: makes ids from a prefix.
        conversation: what there is to answer.
        work: takes what the shell is to do.
    """

    def __init__(
        self,
        emit: Emit,
        new_id: Callable[[str], str],
        conversation: Conversation,
        work: Callable[[Work], None],
    ) -> None:
        self.active: Response | None = None
        self.invoice: dict[str, dict[str, Any]] = {}  # usage by response
        self._emit, self._new_id = emit, new_id
        self._conversation, self._work = conversation, work

    def requested(self, event: dict[str, Any], config: dict[str, Any]) -> None:
        """`response.create`. Raises Refused if one is being made, or it is wrong."""
        if self.active is not None:
            raise Refused(
                f"Conversation already has an active response in progress: {self.active.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        asked = event.get("response") or {}
        if not isinstance(asked, dict):
            raise Refused("Invalid value: 'response' must be an object.", param="response")
        self.create(asked, config)

    def create(self, asked: dict[str, Any], config: dict[str, Any]) -> None:
        """Begins a response.

        Args:
            asked: what is other for this one than in the session.
            config: the session's.
        """
        tools = asked.get("tools", config["tools"])
        if asked.get("tool_choice", config["tool_choice"]) == "none":
            tools = []
        modalities = asked.get("output_modalities", config["output_modalities"])
        audio_format = cfg.audio_format(config, "output") if modalities == ["audio"] else None
        limit = asked.get("max_output_tokens", config["max_output_tokens"])
        out_of_band = asked.get("conversation") == "none"
        override = str(asked.get("instructions") or "")
        prefix = (override or config["instructions"]) + json.dumps(tools)
        turns_of = self._turns_for(asked, out_of_band)
        self._conversation.cut_back(*cfg.cut_back(config))
        self.active = Response(
            self._emit,
            self._new_id,
            self._conversation,
            self._conversation.input_usage(prefix),
            audio_format,
            None if limit == "inf" else int(limit),
            asked.get("metadata"),
            out_of_band,
        )
        self.active.begin()
        self._rate_limits()
        transcription = config["audio"]["input"]["transcription"] or {}
        language = str(transcription.get("language") or "en")

        def question() -> Question:
            return Question(config["instructions"], override, turns_of(), tuple(tools), language)

        out = config["audio"]["output"]
        voice, speed = str(out["voice"]), float(out["speed"])
        self._work(Answer(self.active, question, voice, speed, language))

    def cancel(self) -> Response | None:
        """Nothing more is made; what was being made is to be finished."""
        if self.active is not None:
            self._work(StopAnswer())
        return self.active

    def finish(self, response: Response, status: str, reason: str, error: Any) -> bool:
        """A response is over; False if it was already."""
        if self.active is not response:
            return False
        self.active = None
        response.end(status, reason, error)
        self.invoice[response.id] = response.usage()
        return True

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
