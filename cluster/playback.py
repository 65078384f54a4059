"""A telephone's playout: what the caller of a test call hears, and when.

Pure: times are arguments. 8 kHz mu-law, 20 ms a frame.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

FRAME_BYTES = 160
FRAME_S = 0.02
SILENCE = b"\xff" * FRAME_BYTES


@dataclass(slots=True)
class Playback:
    """Plays what it is given, one frame every 20 ms; marks come due in between."""

    waiting: deque[bytes | str] = field(default_factory=deque)
    heard_frames: int = 0
    last_heard_s: float = 0.0

    def add(self, audio: bytes) -> None:
        for at in range(0, len(audio), FRAME_BYTES):
            self.waiting.append(audio[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\xff"))

    def mark(self, name: str) -> None:
        self.waiting.append(name)

    def clear(self) -> None:
        """Drops everything not yet played, marks too."""
        self.waiting.clear()

    def next(self, now_s: float) -> tuple[bytes, list[str]]:
        """The frame that sounds now (silence when there is none) and the marks
        that were reached before it."""
        reached: list[str] = []
        while self.waiting and isinstance(self.waiting[0], str):
            reached.append(str(self.waiting.popleft()))
        if not self.waiting:
            return SILENCE, reached
        frame = self.waiting.popleft()
        self.heard_frames += 1
        self.last_heard_s = now_s
        assert isinstance(frame, bytes)
        return frame, reached

    def quiet_for_s(self, now_s: float) -> float:
        """How long nothing has sounded; 0 while something waits."""
        if any(isinstance(each, bytes) for each in self.waiting):
            return 0.0
        return now_s - self.last_heard_s
