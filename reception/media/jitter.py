"""Caller frames by their numbers: put in order, and what is missing named.

The telephony side loses and reorders packets before it hands them to us in a
stream. A frame that is next in order passes at once. A gap makes later frames
wait: until it is filled, until more than `window_frames` numbers follow it, or
until `window_s` after the first of them came, whichever is soonest; then the
gap is `Lost`.

Going backwards is refused, being out of order is not; the difference is
whether the number was missing. A frame given up as lost may still come, within
the last 64 numbers, and is dropped as late. A frame that came before, up to
`window_frames` behind the newest, was doubled by a network and is dropped. Any
other number that is not over the newest (older than that, before the leg's
first one, or 0 once frames are numbered) is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

from reception.errors import InvalidRequest

MAX_WINDOW_FRAMES = 32
_REMEMBERED = 64  # numbers, as the anti-replay window of RFC 4303, appendix A2
_ALL = (1 << _REMEMBERED) - 1

Frame = TypeVar("Frame")


@dataclass(frozen=True, slots=True)
class Lost:
    """So many frames in a row never came, or came too late to be played."""

    frames: int


@dataclass(slots=True)
class JitterCounts:
    """lost frames were given up; late ones are those of them that came after
    all; reordered ones came after a later frame and were put right."""

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    reordered: int = 0


class JitterBuffer(Generic[Frame]):
    """Frames in, in any order; frames and losses out, in order.

    A frame is opaque (bytes, a tuple with its stamp ...). At most
    `window_frames` frames are held.

    Args:
        window_frames: how many numbers may overtake a frame, 1 to 32.
        window_s: how long a gap may hold back what follows it.
    """

    def __init__(self, window_frames: int = 3, window_s: float = 0.06) -> None:
        if not 1 <= window_frames <= MAX_WINDOW_FRAMES:
            raise ValueError(f"window_frames {window_frames} is not 1 to {MAX_WINDOW_FRAMES}")
        if window_s <= 0:
            raise ValueError(f"window_s {window_s} is not over 0")
        self.counts = JitterCounts()
        self._window_frames, self._window_s = window_frames, window_s
        self._first = self._next = 0  # 0: no frame was numbered yet
        self._newest = 0
        self._came = _ALL  # bit i: number newest - i came, or lies before the first
        self._held: dict[int, tuple[Frame, float]] = {}  # in order of arrival

    def add(self, frame: Frame, sequence: int, now_s: float) -> list[Frame | Lost]:
        """What can be played now that this frame came; mostly just the frame.

        Args:
            sequence: its number, rising by one; 0 where frames are not numbered.

        Raises:
            InvalidRequest: the number goes backwards; the frame is not counted.
        """
        if sequence == self._next and not self._held:
            self.counts.received += 1
            if sequence:
                self._newest = sequence
                self._next = sequence + 1
                self._came = (self._came << 1 | 1) & _ALL
            return [frame]
        if not self._first:
            self.counts.received += 1
            self._first = self._newest = sequence
            self._next = sequence + 1
            return [frame]
        if not self._is_wanted(sequence):
            return []
        self._held[sequence] = (frame, now_s)
        return self._release(now_s)

    def _is_wanted(self, sequence: int) -> bool:
        """Counts the frame; False when it is late or came before."""
        behind = self._newest - sequence
        if behind < 0:
            self._newest = sequence
            self._came = (self._came << min(-behind, _REMEMBERED) | 1) & _ALL
            self.counts.received += 1
            return True
        came = behind >= _REMEMBERED or self._came >> behind & 1
        if came and (behind > self._window_frames or sequence < self._first):
            raise InvalidRequest(
                f"audio.sequence {sequence} is not over {self._newest}, the last one",
                field="audio.sequence",
            )
        self.counts.received += 1
        self._came |= 1 << behind
        if came:
            self.counts.duplicate += 1
        elif sequence < self._next:
            self.counts.late += 1
        else:
            self.counts.reordered += 1
            return True
        return False

    def _release(self, now_s: float) -> list[Frame | Lost]:
        out: list[Frame | Lost] = []
        while self._held:
            if self._next not in self._held:
                if self._may_still_come(now_s):
                    break
                oldest = min(self._held)
                out.append(Lost(oldest - self._next))
                self.counts.lost += oldest - self._next
                self._next = oldest
            out.append(self._held.pop(self._next)[0])
            self._next += 1
        return out

    def _may_still_come(self, now_s: float) -> bool:
        if self._newest - self._next > self._window_frames:
            return False
        deadline_s = self.next_deadline_s()
        return deadline_s is not None and now_s < deadline_s

    def next_deadline_s(self) -> float | None:
        """When `handle_timer` is to be called; None while nothing waits."""
        for _, came_s in self._held.values():
            return came_s + self._window_s
        return None

    def handle_timer(self, now_s: float) -> list[Frame | Lost]:
        """What can be played because a gap has waited long enough."""
        return self._release(now_s)

    def restart(self) -> list[Frame | Lost]:
        """The numbers begin anew, with any: the stream broke, and there is another.
        Gives all that waits."""
        out = self.flush()
        self._first = self._next = self._newest = 0
        self._came = _ALL
        return out

    def flush(self) -> list[Frame | Lost]:
        """All that waits, its gaps given up: no more frames will come."""
        return self._release(math.inf)
