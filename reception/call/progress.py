"""How a live call gets on: what its session tells the node agent as it changes.

Only what changed is told, so that it costs the same however long the call has
become. A message that is lost costs the agent a line of the transcript at most: the
record at the call's end is whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from typing import TypeVar

from reception.call.record import CallRecord, Said, TurnTime
from reception.errors import InvalidRequest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """Said and times of the call from these indexes on are now those given."""

    call_id: str
    lease_id: str
    state: str
    phase: str
    turns: int
    interruptions: int
    cost_micros: int
    model: str
    budget_steps: tuple[str, ...]
    said_from: int
    said: tuple[Said, ...]
    times_from: int
    times: tuple[TurnTime, ...]


def progress(before: CallRecord, now: CallRecord) -> Progress | None:
    """What to tell of `now` to who knows `before`; None while an observer of the
    call would see no difference."""
    if _seen(before) == _seen(now):
        return None
    said_from = _same(before.transcript, now.transcript)
    times_from = _same(before.turn_times, now.turn_times)
    return Progress(
        now.spec.call_id,
        now.spec.lease_id,
        *_seen(now),
        said_from,
        now.transcript[said_from:],
        times_from,
        now.turn_times[times_from:],
    )


def applied(record: CallRecord, news: Progress) -> CallRecord:
    """The record after the news."""
    return replace(
        record,
        state=news.state,
        phase=news.phase,
        turns=news.turns,
        interruptions=news.interruptions,
        cost_micros=news.cost_micros,
        model=news.model,
        budget_steps=news.budget_steps,
        transcript=record.transcript[: news.said_from] + news.said,
        turn_times=record.turn_times[: news.times_from] + news.times,
    )


def encode(news: Progress) -> bytes:
    """As JSON."""
    return json.dumps(asdict(news), separators=(",", ":")).encode()


def decode(data: bytes) -> Progress:
    """Raises InvalidRequest for what `encode` did not make."""
    try:
        fields = json.loads(data)
        fields["said"] = tuple(Said(**each) for each in fields["said"])
        fields["times"] = tuple(TurnTime(**each) for each in fields["times"])
        fields["budget_steps"] = tuple(fields["budget_steps"])
        return Progress(**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidRequest(f"progress is not valid: {error}", field="progress") from error


def _seen(record: CallRecord) -> tuple[str, str, int, int, int, str, tuple[str, ...]]:
    return (
        record.state,
        record.phase,
        record.turns,
        record.interruptions,
        record.cost_micros,
        record.model,
        record.budget_steps,
    )


def _same(before: Sequence[T], now: Sequence[T]) -> int:
    """How many of the first items are the same in both."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, now, strict=False))
    )
