"""What a caller's ear can tell of received audio: loss, lateness, jitter. Pure."""

from __future__ import annotations

from cluster.load.measures import Measures
from cluster.playback import FRAME_S

_BYTES_PER_S = 8_000  # mu-law
_GRACE_S = FRAME_S  # a frame plays at the next beat of the caller's clock


class Hearing:
    """One call's received audio. About 1 us a frame.

    Args:
        measures: where it is counted.
        intended_s: when the call was to begin.
    """

    def __init__(self, measures: Measures, intended_s: float) -> None:
        self._measures, self._counts = measures, measures.counts
        self._intended_s = intended_s
        self._heard = False
        self._sequence = 0
        self._received = self._lost = 0
        self._item = self._cut_item = ""
        self._due_s = self._last_s = 0.0  # of the item: next frame's moment, last arrival
        self._last_ms = 0
        self._jitter_ms: float | None = None
        self._asked_s: float | None = None  # when the caller's words ended
        self._asked_item = ""

    def asked(self, ended_s: float) -> None:
        """The caller's words have ended; the next item's audio answers them."""
        self._asked_s, self._asked_item = ended_s, self._item

    def forget(self) -> None:
        """The caller speaks again: what comes is no answer to what was said."""
        self._asked_s = None

    def audio(self, size_bytes: int, sequence: int, at_ms: int, item: str, now_s: float) -> None:
        """A frame came.

        Args:
            size_bytes: of its mu-law payload.
            sequence: its number; 0 for none.
            at_ms: its media time.
            item: the answer that it belongs to.
            now_s: when it came.
        """
        counts = self._counts
        counts["frames_received"] += 1
        self._received += 1
        if sequence:
            if sequence <= self._sequence:
                counts["frames_disordered"] += 1
            else:
                lost = sequence - self._sequence - 1 if self._sequence else 0
                counts["frames_lost"] += lost
                self._lost += lost
                self._sequence = sequence
        if item and item == self._cut_item:
            counts["frames_stale"] += 1
            return
        if not self._heard:
            self._heard = True
            self._measures.took("first_audio", (now_s - self._intended_s) * 1000)
        if item != self._item or self._jitter_ms is None:
            self._begin(item, now_s)
        else:
            moved_ms = (now_s - self._last_s) * 1000 - (at_ms - self._last_ms)
            self._jitter_ms += (abs(moved_ms) - self._jitter_ms) / 16
            if now_s > self._due_s + _GRACE_S:
                counts["frames_late"] += 1
                self._due_s = now_s
        if self._asked_s is not None and (item != self._asked_item or not item):
            self._measures.took("answer", (now_s - self._asked_s) * 1000)
            self._asked_s = None
        self._due_s += size_bytes / _BYTES_PER_S
        self._last_s, self._last_ms = now_s, at_ms

    def cut(self, item: str) -> None:
        """ClearAudio came: nothing more of this item should."""
        self._cut_item = item
        self.done()

    def done(self) -> None:
        """An answer is over: its jitter counts."""
        if self._jitter_ms is not None:
            self._measures.took("jitter", self._jitter_ms)
            self._jitter_ms = None

    def taken(self) -> tuple[int, int]:
        """Frames received and lost since this was asked last."""
        found, self._received, self._lost = (self._received, self._lost), 0, 0
        return found

    def _begin(self, item: str, now_s: float) -> None:
        self.done()
        self._item, self._jitter_ms, self._due_s = item, 0.0, now_s
