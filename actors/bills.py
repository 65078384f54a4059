"""What is told of a call elsewhere, at once or later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reception.call import messages as m


@dataclass(frozen=True, slots=True)
class Delivery:
    """`method` of "cost" or "calls" with these arguments; its outcome is of no use."""

    to: str
    method: str
    args: tuple[Any, ...]


def bill(
    command: m.ReportUsage | m.ReportTranscription, session_id: str, transcriber: str
) -> Delivery:
    """A bill for what a call has used.

    Args:
        transcriber: the model that wrote down what the caller said.
    """
    if isinstance(command, m.ReportUsage):
        args = (session_id, command.response_id, command.model, command.usage)
        return Delivery("cost", "usage", args)
    counts = (command.seconds, command.input_tokens, command.output_tokens)
    return Delivery("cost", "transcription", (session_id, command.item_id, transcriber, *counts))


def closing(session_id: str) -> Delivery:
    """Nothing more is held for the call."""
    return Delivery("cost", "close_call", (session_id,))
