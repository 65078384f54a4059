"""What waits to be sent while the other side is slow, in order and bounded.

Old audio is worth nothing: of audio at most `max_audio` items wait, and a newer
one puts out the OLDEST, which is counted. Nothing else is ever put out: more
than `max_other` of it mean that the other side is stuck, and the holder cuts it
off. Adding and taking cost the same however much waits.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Backlog(Generic[T]):
    """Items in the order they were added."""

    __slots__ = ("_added", "_audio", "_max_audio", "_max_other", "_other", "dropped_audio")

    def __init__(self, max_audio: int, max_other: int) -> None:
        self.dropped_audio = 0
        self._max_audio, self._max_other = max_audio, max_other
        self._audio: deque[tuple[int, T]] = deque()
        self._other: deque[tuple[int, T]] = deque()
        self._added = 0

    def __bool__(self) -> bool:
        return bool(self._audio or self._other)

    def __len__(self) -> int:
        return len(self._audio) + len(self._other)

    @property
    def audio_waiting(self) -> int:
        """How many items of audio wait."""
        return len(self._audio)

    @property
    def overfull(self) -> bool:
        """More than `max_other` items that are not audio wait."""
        return len(self._other) > self._max_other

    def add(self, item: T, audio: bool) -> None:
        """Adds an item; one audio over the bound puts out the oldest."""
        self._added += 1
        if not audio:
            self._other.append((self._added, item))
            return
        self._audio.append((self._added, item))
        if len(self._audio) > self._max_audio:
            self._audio.popleft()
            self.dropped_audio += 1

    def take(self) -> T:
        """The item added first. Raises IndexError when nothing waits."""
        audio, other = self._audio, self._other
        if audio and (not other or audio[0][0] < other[0][0]):
            return audio.popleft()[1]
        return other.popleft()[1]

    def clear(self) -> None:
        """Forgets everything but the count of what was dropped."""
        self._audio.clear()
        self._other.clear()
