"""The record of one call: what is kept when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from reception.money.allowance import Means
from reception.money.leases import Claim
from reception.money.scopes import Owner


@dataclass(frozen=True, slots=True)
class Said:
    """One thing said: who ("caller" or "reception"), when since the call was
    accepted, and if it was cut off how much of it was heard."""

    who: str
    text: str
    at_ms: int
    item_id: str = ""
    interrupted: bool = False
    heard_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TurnTime:
    """Latencies of one turn: caller's end of speech to first answer audio."""

    turn: int
    latency_ms: int
    gateway_us: int
    interrupted: bool


@dataclass(frozen=True, slots=True)
class TakenMessage:
    """A message that the caller left for somebody."""

    call_id: str
    for_whom: str
    caller_name: str
    phone_number: str
    text: str
    at_s: float


@dataclass(frozen=True, slots=True)
class CallSpec:
    """What is known of a call when it is placed on a node. Times are UNIX s.

    claim: it began without the ledger, and whoever bills it tells it so.
    full_model: the telephony system asked for it. means: what its first answers may cost.
    """

    call_id: str
    session_id: str
    lease_id: str
    from_uri: str
    to_uri: str
    direction: str
    codec: str
    rate_hz: int
    ptime_ms: int
    sends_marks: bool
    profile: str
    metadata: dict[str, str]
    tenant: str
    key_id: str
    node_id: str
    accepted_at_s: float
    claim: Claim | None = None
    full_model: bool = False
    means: Means | None = None


def spec_of(fields: dict[str, Any]) -> CallSpec:
    """A spec again from what `asdict` made of it; what its first answers may cost is not
    asked any more."""
    claim = fields.get("claim")
    if claim is not None:
        claim = Claim(**claim | {"owner": Owner(**claim["owner"])})
    return CallSpec(**fields | {"claim": claim, "means": None})


@dataclass(frozen=True, slots=True)
class CallRecord:
    """The call detail record. State: connecting, active, ending, ended. model: that
    speaks, or spoke last. budget_steps: what was done as its money ran out, in order."""

    spec: CallSpec
    state: str
    phase: str
    model: str
    ended_at_s: float | None = None
    end_reason: str = ""
    transferred_to: str = ""
    turns: int = 0
    interruptions: int = 0
    cost_micros: int = 0
    transcript: tuple[Said, ...] = ()
    turn_times: tuple[TurnTime, ...] = ()
    messages: tuple[TakenMessage, ...] = ()
    stats: dict[str, int] = field(default_factory=dict)
    recording: str = ""
    budget_steps: tuple[str, ...] = ()
