"""How a front door is set up."""

from __future__ import annotations

from dataclasses import dataclass, field

from reception.placement.turnstile import TurnstileRules


@dataclass(frozen=True, slots=True)
class DoorConfig:
    """host and port it listens on (0: any free one); times in seconds.

    advertised: where callers reach it (host or host:port); "" for where it listens.
    security_failure, cost_failure: whether new calls are taken while the singleton does
        not answer (`Settings`).
    turnstile: how many calls are admitted at a time, and who waits meanwhile.
    balancing: how calls are spread over nodes (`Settings.balancing`); zone: of this node.
    """

    host: str
    port: int
    node_id: str
    idle_timeout_s: float = 15.0
    attach_timeout_s: float = 5.0
    advertised: str = ""
    balancing: str = "by_size"
    zone: str = ""
    security_failure: str = "closed"
    cost_failure: str = "closed"
    turnstile: TurnstileRules = field(default_factory=TurnstileRules)
    max_message_bytes: int = 4 * 1024 * 1024
