"""Which of a caller's audio is sent to the provider: words, and some silence around them.

The provider's own turn detection stays in charge. It needs the silence after the words to
find their end, so that is sent; so is all that comes while it takes the caller to be
speaking, whatever is heard here. Of the silence before words the last part is kept, and
goes before them when they come.
"""

from __future__ import annotations

from collections import deque

from reception.money.savings.levels import Decisions
from reception.provider.base import TurnDetection

_LEAST_BEFORE_MS = 100  # of a turn: it begins before it is heard


def sent_around(turns: TurnDetection, decisions: Decisions) -> tuple[int, int]:
    """How much silence (ms) is sent before and after what may be speech; 0, 0 for all of
    it. Semantic turn detection may wait for as long as 8 s for more: it gets all. Where the
    worker finds turns the provider gets nothing else: it would be a part of the next one."""
    if turns.local:
        return max(_LEAST_BEFORE_MS, turns.prefix_padding_ms), 0
    if not decisions.local_activity or turns.kind != "server_vad":
        return 0, 0
    before_ms = max(decisions.pre_roll_ms, turns.prefix_padding_ms)
    return before_ms, turns.silence_duration_ms + decisions.hangover_ms


class SilenceGate:
    """One caller's; it begins open.

    Args:
        pre_roll_ms: kept of the silence, and sent before what comes after it.
        hangover_ms: sent of the silence after what may be speech.

    Attributes:
        blind: nothing is known of voice: all is sent.
        provider_hears: the provider takes the caller to be speaking: all is sent.
    """

    def __init__(self, pre_roll_ms: int, hangover_ms: int) -> None:
        self.blind = self.provider_hears = False
        self._pre_roll_ms, self._hangover_ms = pre_roll_ms, hangover_ms
        self._kept: deque[tuple[bytes, float]] = deque()
        self._kept_ms = self._quiet_ms = 0.0

    def feed(self, audio: bytes, duration_ms: float, *, voice: bool) -> list[bytes]:
        """What is to be sent now, in order.

        Args:
            voice: there may be speech in it.
        """
        quiet = not (voice or self.blind or self.provider_hears)
        self._quiet_ms = self._quiet_ms + duration_ms if quiet else 0.0
        self._kept.append((audio, duration_ms))
        self._kept_ms += duration_ms
        if self._quiet_ms <= self._hangover_ms:
            sent = [each for each, _ in self._kept]
            self._kept.clear()
            self._kept_ms = 0.0
            return sent
        while self._kept and self._kept_ms - self._kept[0][1] >= self._pre_roll_ms:
            self._kept_ms -= self._kept.popleft()[1]
        return []
