"""How one call's media leg is set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reception.media.hearing import Hearing


@dataclass(frozen=True, slots=True)
class Speaks:
    """Who speaks answers that come as text: the Unix socket of a synthesizer, and how."""

    socket: str
    voice: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class LegConfig:
    """codec is "pcmu", "pcma", "l16" or "opus"; lead_ms how far playout may run
    ahead of the leg's clock.

    A leg that another worker takes over goes on where it was: frames_before were
    numbered already, and generation keeps its marks apart from earlier ones.
    listening False: the caller's audio is not for the provider just now.
    recording is "off", "wav", "flac" or "opus".
    silence_ms: how much silence before and after what may be speech the provider is
    sent; 0, 0 for all of it.
    turn_ms: so much silence ends the caller's turn; 0: the provider finds turns.
    speaks: where answers come as text; None: they come as sound.
    """

    codec: str
    rate_hz: int
    ptime_ms: int
    sends_marks: bool
    lead_ms: int = 120
    frames_before: int = 0
    generation: int = 0
    listening: bool = True
    hearing: Hearing = field(default_factory=Hearing)
    recording: str = "off"
    silence_ms: tuple[int, int] = (0, 0)
    turn_ms: int = 0
    speaks: Speaks | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> LegConfig:
        """From what `dataclasses.asdict` made of one."""
        hearing, silence_ms = Hearing(**fields["hearing"]), tuple(fields["silence_ms"])
        speaks = Speaks(**fields["speaks"]) if fields.get("speaks") else None
        made = {"hearing": hearing, "silence_ms": silence_ms, "speaks": speaks}
        return cls(**{**fields, **made})
