"""The caller's turns as the audio worker finds them, in the words of a provider that would
have found them itself."""

from __future__ import annotations

from collections import deque

from reception.provider.base import (
    AudioCommitted,
    CallerTranscript,
    CallerTranscriptFailed,
    ProviderCodec,
    ProviderEvent,
    SpeechStarted,
    SpeechStopped,
)

_MOST = 100  # turns that are not understood yet


class LocalTurns:
    """One call's. A turn has a name of ours from its first sound on; the provider's name for
    it comes later, and bills it.

    Args:
        generation: of the leg, so that names are new on each worker.

    Attributes:
        speaking: the caller does, as far as is known here.
    """

    def __init__(self, generation: int) -> None:
        self.speaking = False
        self._generation, self._number = generation, 0
        self._sent_ms = 0.0
        self._taken: deque[str] = deque(maxlen=_MOST)  # whose other name is not known yet
        self._names: dict[str, str] = {}

    def anew(self) -> None:
        """Another session hears the caller from now on."""
        self._sent_ms = 0.0
        self._taken.clear()
        self._names.clear()

    def sent(self, duration_ms: float) -> None:
        """So much of the caller's audio went to the provider."""
        self._sent_ms += duration_ms

    def began(self) -> SpeechStarted:
        """A turn begins with what is sent next."""
        self._number += 1
        return SpeechStarted(self._name, round(self._sent_ms))

    def ended(self) -> SpeechStopped:
        """It ends with what was sent."""
        return SpeechStopped(self._name, round(self._sent_ms))

    def taken(self) -> None:
        """The provider is told that it is one."""
        self._taken.append(self._name)

    def named(
        self, event: ProviderEvent, raw: bytes, codec: ProviderCodec
    ) -> tuple[ProviderEvent, bytes]:
        """What the provider said, with our names for turns."""
        match event:
            case AudioCommitted(theirs) if self._taken:
                ours = self._names[theirs] = self._taken.popleft()
                while len(self._names) > _MOST:
                    del self._names[next(iter(self._names))]
            case CallerTranscript(theirs) | CallerTranscriptFailed(theirs):
                ours = self._names.get(theirs, "")
                if not isinstance(event, CallerTranscript) or event.final:
                    self._names.pop(theirs, None)
            case _:
                return event, raw
        if not ours:
            return event, raw
        raw = codec.renamed(raw, ours, theirs)
        return codec.decode(raw), raw

    @property
    def _name(self) -> str:
        return f"turn_{self._generation}_{self._number}"
