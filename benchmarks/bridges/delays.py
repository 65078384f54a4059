"""What came of the words that were sent: delays, losses, calls served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.bridges.tones import MARKS_PER_WORD, WORDS

SERVED_SHARE = 0.98

Row = Sequence[int]  # mark, call or session, ns


@dataclass(frozen=True, slots=True)
class Way:
    """One direction, within a window.

    delays_ms: of every mark that was sent within it and arrived.
    sent, came: marks by whoever sent them.
    """

    delays_ms: list[float]
    sent: Counter[int]
    came: Counter[int]


def way(sent: Iterable[Row], heard: Iterable[Row], begin_ns: int, end_ns: int) -> Way:
    """Joins what was sent between two times with what was heard at any time."""
    arrived = {mark: at_ns for mark, _, at_ns in heard}
    delays_ms: list[float] = []
    count: Counter[int] = Counter()
    came: Counter[int] = Counter()
    for mark, sender, at_ns in sent:
        if begin_ns <= at_ns < end_ns:
            count[sender] += 1
            if mark in arrived:
                came[sender] += 1
                delays_ms.append((arrived[mark] - at_ns) / 1e6)
    return Way(delays_ms, count, came)


def speaker_of(mark: int) -> int:
    """Who says this mark."""
    return mark // (WORDS * MARKS_PER_WORD)


def served(up: Way, down: Way, sessions: dict[int, int], gone: Iterable[int]) -> int:
    """How many calls were up, heard and answered throughout.

    Args:
        sessions: the provider's session of each call.
        gone: calls that the bridge ended.
    """
    lost = set(gone)
    return sum(
        call not in lost
        and session in down.sent
        and up.came[call] >= SERVED_SHARE * up.sent[call]
        and down.came[session] >= SERVED_SHARE * down.sent[session]
        for call, session in sessions.items()
    )
