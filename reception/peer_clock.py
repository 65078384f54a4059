"""What a peer's stamps are on our own clock: another node's monotonic clock began
at another time.

As in NTP (RFC 5905, section 8): we ask at t0, the peer's clock shows t1 when it
answers, we hear it at t3; then its clock is ahead by t1 - (t0 + t3) / 2, give or
take half of the round trip.
"""

from __future__ import annotations

_OLD_NS = 10_000_000_000  # clocks drift: by then any newer answer is better
_SLOW = 1.5  # times the round trip of the answer that counts: worse ones say less


class PeerClock:
    """The offset of one peer's clock; all times in ns of either's monotonic clock."""

    def __init__(self) -> None:
        self._ahead_ns: int | None = None
        self._round_trip_ns = 0
        self._learned_ns = 0

    def answered(self, asked_ns: int, peer_ns: int, now_ns: int) -> None:
        """The peer answered what was asked at `asked_ns`."""
        round_trip_ns = now_ns - asked_ns
        if (
            self._ahead_ns is None
            or round_trip_ns <= _SLOW * self._round_trip_ns
            or now_ns - self._learned_ns > _OLD_NS
        ):
            self._ahead_ns = peer_ns - (asked_ns + now_ns) // 2
            self._round_trip_ns, self._learned_ns = round_trip_ns, now_ns

    def ours(self, peer_ns: int, now_ns: int) -> int:
        """A peer's stamp on our clock, never later than now; `now_ns` as long
        as the peer's clock is not known."""
        if self._ahead_ns is None:
            return now_ns
        return max(1, min(peer_ns - self._ahead_ns, now_ns))
