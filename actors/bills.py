"""What is told of a call elsewhere, at once or later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reception.call import messages as m
from reception.call.record import CallSpec


@dataclass(frozen=True, slots=True)
class Delivery:
    """`method` of "cost" or "calls" with these arguments; its outcome is of no use."""

    to: str
    method: str
    args: tuple[Any, ...]


def bill(
    command: m.ReportUsage | m.ReportTranscription, spec: CallSpec, transcriber: str, at_s: float
) -> Delivery:
    """A bill for what a call has used. With the claim of a call that began without the
    ledger, so that its account is there, whichever bill comes first.

    Args:
        transcriber: the model that wrote down what the caller said.
        at_s: when it was used (UNIX seconds): it is priced as of then, also if it waits.
    """
    also = (spec.claim, at_s)
    if isinstance(command, m.ReportUsage):
        args = (spec.session_id, command.response_id, command.model, command.usage)
        return Delivery("cost", "usage", args + also)
    counts = (command.seconds, command.input_tokens, command.output_tokens)
    words = (spec.session_id, command.item_id, transcriber, *counts)
    return Delivery("cost", "transcription", words + also)


def closing(spec: CallSpec) -> Delivery:
    """Nothing more is held for the call."""
    claim = () if spec.claim is None else (spec.claim,)
    return Delivery("cost", "close_call", (spec.session_id, *claim))
