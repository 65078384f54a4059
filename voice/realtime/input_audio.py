"""The input audio buffer: what came of the caller's sound, and where speech in it
began and ended."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from voice.audio import LISTEN_RATE_HZ, Ear
from voice.realtime import config as cfg
from voice.realtime.errors import Refused, missing
from voice.vad import SpeechBegan, VoiceActivity

MAX_BUFFER_BYTES = 15 * 1024 * 1024
BYTES_PER_MS = LISTEN_RATE_HZ * 2 // 1000
_MIN_COMMIT_MS = 100


@dataclass(frozen=True, slots=True)
class Speaking:
    """Speech began; `from_ms` is where its turn begins, with the padding before it."""

    from_ms: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """Speech is over at `to_ms`; its turn as 16-bit samples at 8 kHz."""

    to_ms: int
    pcm16: bytes


class InputAudio:
    """Times are milliseconds of sound since the session began."""

    def __init__(self) -> None:
        self._ear: Ear | None = None
        self._vad: VoiceActivity | None = None
        self._vad_zero_ms = 0
        self._pcm16 = bytearray()  # 8 kHz samples, from begin_ms on
        self._begin_ms = 0
        self._speech_ms: int | None = None

    @property
    def started(self) -> bool:
        """Whether any sound came: its format is fixed from then on."""
        return self._ear is not None

    @property
    def begin_ms(self) -> int:
        """Where what is kept begins."""
        return self._begin_ms

    @property
    def end_ms(self) -> int:
        return self._begin_ms + self._kept_ms

    @property
    def _kept_ms(self) -> int:
        return len(self._pcm16) // BYTES_PER_MS

    def append(
        self, audio: Any, audio_format: str, turns: dict[str, Any] | None
    ) -> list[Speaking | Spoken]:
        """More sound.

        Args:
            audio: base64, as the client sent it.
            turns: the session's `turn_detection`; None leaves turns to the client.

        Raises:
            Refused: it is no base64, or too much.
        """
        raw = _decoded(audio)
        if len(self._pcm16) + len(raw) > MAX_BUFFER_BYTES:
            raise Refused(
                f"The input audio buffer is over {MAX_BUFFER_BYTES} bytes.",
                code="input_audio_buffer_full",
            )
        if self._ear is None:
            self._ear = Ear(audio_format)
        samples = self._ear.hear(raw)
        self._pcm16 += samples.tobytes()
        if turns is None:
            return []
        if self._vad is None:
            self._vad = VoiceActivity(turns.get("threshold", 0.5), cfg.silence_ms(turns))
            self._vad_zero_ms = self.end_ms - len(samples) * 1000 // LISTEN_RATE_HZ
        prefix_ms = int(turns.get("prefix_padding_ms", 300))
        found: list[Speaking | Spoken] = []
        for each in self._vad.feed(samples):
            at_ms = self._vad_zero_ms + each.at_ms
            if isinstance(each, SpeechBegan):
                self._speech_ms = max(self._begin_ms, at_ms - prefix_ms)
                found.append(Speaking(self._speech_ms))
            else:
                found.append(Spoken(at_ms, self._turn_until(at_ms)))
        if self._speech_ms is None:
            self._forget_before(prefix_ms + 200)
        return found

    def commit(self) -> bytes:
        """All that is kept, as the client's turn. Raises Refused if that is too little."""
        length_ms = self._kept_ms
        if length_ms < _MIN_COMMIT_MS:
            raise Refused(
                f"Error committing input audio buffer: buffer too small. Expected at least "
                f"{_MIN_COMMIT_MS}ms of audio, but buffer only has {length_ms:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        pcm16 = bytes(self._pcm16)
        self.clear()
        return pcm16

    def clear(self) -> None:
        self._begin_ms = self.end_ms
        self._pcm16.clear()
        self._speech_ms = None
        self.detect_anew()

    def detect_anew(self) -> None:
        """The rules of turn detection changed: they count from the next sound on."""
        self._vad = None

    def _turn_until(self, at_ms: int) -> bytes:
        from_ms = self._speech_ms if self._speech_ms is not None else self._begin_ms
        start, end = ((ms - self._begin_ms) * BYTES_PER_MS for ms in (from_ms, at_ms))
        turn = bytes(self._pcm16[start:end])
        del self._pcm16[:end]
        self._begin_ms, self._speech_ms = at_ms, None
        return turn

    def _forget_before(self, keep_ms: int) -> None:
        """While nobody speaks only the prefix of what may come is kept."""
        surplus_ms = self._kept_ms - keep_ms
        if surplus_ms > 0:
            del self._pcm16[: surplus_ms * BYTES_PER_MS]
            self._begin_ms += surplus_ms


def _decoded(audio: Any) -> bytes:
    if not isinstance(audio, str):
        raise missing("audio")
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("Invalid 'audio'. Expected base64.", param="audio") from None
