"""The caller's last words, kept until the provider has understood them: they are told again
to the session that takes the place of one that broke."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

BEFORE_MS = 1_000.0  # of what was no word yet: where one begins is told late
LONGEST_MS = 15_000.0


class Retold:
    """What was sent to one provider's session; sound is opaque."""

    def __init__(self) -> None:
        self._sent: deque[tuple[bytes, float]] = deque()
        self._sent_ms = 0.0
        self._dropped = 0  # pieces, ever
        self._speaking = False
        self._ends: dict[str, int] = {}  # of words that are not understood yet: pieces before

    def sent(self, audio: bytes, duration_ms: float) -> None:
        """A piece of the caller's audio went to the provider."""
        self._sent.append((audio, duration_ms))
        self._sent_ms += duration_ms
        kept_ms = LONGEST_MS if self._speaking or self._ends else BEFORE_MS
        while self._sent_ms - self._sent[0][1] >= kept_ms:
            self._drop()

    def started(self) -> None:
        """The provider hears the caller speak."""
        self._speaking = True

    def stopped(self, item_id: str) -> None:
        """These words are over, as the provider hears them."""
        self._speaking = False
        self._ends[item_id] = self._dropped + len(self._sent)

    def understood(self, item_id: str) -> None:
        """There is a transcript of these words, or there will be none."""
        self._drop_until(self._ends.pop(item_id, 0))

    def answered(self) -> None:
        """All words that are over have their answer."""
        for end in self._ends.values():
            self._drop_until(end)
        self._ends.clear()

    def take(self) -> list[bytes]:
        """What the next session is to hear first; nothing is kept of it here."""
        kept = [audio for audio, _ in self._sent]
        self._drop_until(self._dropped + len(kept))
        self._speaking = False
        self._ends.clear()
        return kept

    def convert(self, how: Callable[[bytes], bytes]) -> None:
        """The next session has another format: all that is kept goes through `how`."""
        self._sent = deque((how(audio), duration_ms) for audio, duration_ms in self._sent)

    def _drop_until(self, end: int) -> None:
        while self._dropped < end and self._sent:
            self._drop()

    def _drop(self) -> None:
        self._sent_ms -= self._sent.popleft()[1]
        self._dropped += 1
