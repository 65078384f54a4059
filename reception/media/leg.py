"""How one call's media leg is set up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LegConfig:
    """codec is "pcmu", "pcma" or "l16"; lead_ms how far playout may run ahead of
    the leg's clock."""

    codec: str
    rate_hz: int
    ptime_ms: int
    sends_marks: bool
    lead_ms: int = 120
