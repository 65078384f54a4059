"""How one receptionist listens: what interrupts her, what is done to the caller's sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reception.errors import InvalidRequest

BargeInBy = Literal["provider", "local"]
Suppression = Literal["off", "light", "full"]

BARGE_IN_BY: tuple[BargeInBy, ...] = ("provider", "local")
SUPPRESSION: tuple[Suppression, ...] = ("off", "light", "full")
MAX_MIN_SPEECH_MS = 2_000


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a profile says about listening; the defaults do nothing at all.

    Args:
        barge_in: who hears that the caller interrupts: the "provider", or the
            worker itself ("local"), after 40 ms of speech.
        min_speech_ms: less speech than this, a cough or an "mm-hm", does not
            cut an answer. 0: the first sign of speech does.
        noise_suppression: of the caller's sound: "off", "light" (about 6 dB)
            or "full" (about 12 dB).
        gain: quiet callers are made louder and loud ones softer.
        dtmf_inband: keys are heard in the sound, for legs that don't signal them.

    Raises:
        InvalidRequest: a value is out of its bounds; names the field.
    """

    barge_in: BargeInBy = "provider"
    min_speech_ms: int = 0
    noise_suppression: Suppression = "off"
    gain: bool = False
    dtmf_inband: bool = False

    def __post_init__(self) -> None:
        _one_of("barge_in", self.barge_in, BARGE_IN_BY)
        _one_of("noise_suppression", self.noise_suppression, SUPPRESSION)
        if not 0 <= self.min_speech_ms <= MAX_MIN_SPEECH_MS:
            raise InvalidRequest(
                f"min_speech_ms {self.min_speech_ms} is not within 0 and {MAX_MIN_SPEECH_MS}",
                field="hearing.min_speech_ms",
            )

    @property
    def decides(self) -> bool:
        """The worker, not the provider alone, decides what cuts an answer."""
        return self.barge_in == "local" or self.min_speech_ms > 0

    @property
    def enhances(self) -> bool:
        """The caller's sound is changed before the provider hears it."""
        return self.noise_suppression != "off" or self.gain

    @property
    def watches(self) -> bool:
        """Voice activity of the caller is needed."""
        return self.decides or self.gain


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidRequest(
            f"{field} {value!r} is not one of {', '.join(allowed)}", field=f"hearing.{field}"
        )
