"""A call's two voices on one clock of samples: what the caller said and what was heard.

The caller's frames come with the network's jitter, in bursts after a stall,
with gaps, and by the leg's own clock, which drifts; the receptionist's are
placed where the leg plays them, and cut where the caller interrupted. Both
end up on the clock of this machine, so that they stay in step for hours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from reception.media.codecs import AudioFormat

BLOCK_MS = 1_000
WINDOW_MS = 2_000  # how long audio can still be moved or cut before it is given out
MAX_AHEAD_MS = 2_000
GAP_MS = 200  # a frame that comes later than this was preceded by silence, or a stall
SLACK_MS = 10
LEAK = 0.001  # the best recent delay is forgotten by 1 ms a second
SLIP = 160  # one sample in so many is left out or repeated to get into step


class _Track:
    """One channel from `begins` (in samples) on; what was given out is gone."""

    def __init__(self, format: AudioFormat) -> None:
        self.begins = 0
        self._sample_bytes = format.sample_bytes
        self._silence = format.silence
        self._audio = bytearray()

    @property
    def end(self) -> int:
        return self.begins + len(self._audio) // self._sample_bytes

    def add(self, audio: bytes) -> None:
        self._audio += audio

    def fill(self, samples: int) -> None:
        """Silence at the end."""
        self._audio += self._silence * samples

    def remove(self, begin: int, end: int) -> None:
        """Takes a piece out; what follows moves forward."""
        first = max(0, begin - self.begins) * self._sample_bytes
        del self._audio[first : max(0, end - self.begins) * self._sample_bytes]

    def take(self, samples: int) -> bytes:
        """The oldest samples, filled up with silence."""
        size = samples * self._sample_bytes
        audio = bytes(self._audio[:size])
        del self._audio[:size]
        self.begins += samples
        return audio + self._silence * (samples - len(audio) // self._sample_bytes)


class Timeline:
    """Puts the audio of one leg on two channels: caller left, receptionist right.

    Memory is bounded by the window: about 5 s of each channel. A 20 ms frame
    takes about 2 µs.

    Args:
        format: coding of both; one byte or two a sample. Blocks have it too.
        begin_s: when the recording begins. All times are of one monotonic clock
            and in the order in which things happened.
        emit: is given the blocks in order: `BLOCK_MS` of the caller's channel
            and of the receptionist's; the last block may be shorter. (Not
            interleaved: NumPy does that 10 times faster than this could.)
    """

    def __init__(
        self, format: AudioFormat, begin_s: float, emit: Callable[[bytes, bytes], None]
    ) -> None:
        self.dropped_ms = 0
        self._format = format
        self._begin_s = begin_s
        self._emit = emit
        self._caller, self._heard = _Track(format), _Track(format)
        self._window = WINDOW_MS * format.rate_hz // 1000
        self._block = BLOCK_MS * format.rate_hz // 1000
        self._slack = SLACK_MS * format.rate_hz // 1000
        self._most_ahead = MAX_AHEAD_MS * format.rate_hz // 1000
        self._jitter = GAP_MS * format.rate_hz // 1000
        self._patience = 0  # the first frame joins none
        self._gap = (0, 0)
        self._ahead = 0.0
        self._item = ("", 0)
        self._placed: deque[tuple[str, int, int, int]] = deque()

    # ------------------------------------------------------------- the caller

    def said(self, at_s: float, audio: bytes, lost: int = 0) -> None:
        """A frame of the caller's that came in at `at_s`, after `lost` frames of
        the same length that never will. Frames come in order.

        A frame belongs where it ends when it arrives. Frames that are late by
        jitter join the one before them; a longer pause is silence until frames
        come faster than they last, which shows that they were held up: then
        they move back into the pause.
        """
        at, count = self._position(at_s), len(audio) // self._format.sample_bytes
        self._give_out(at)
        track, begin = self._caller, at - count
        track.fill(min(lost * count, max(0, begin - track.end)))
        ahead = track.end - begin
        if ahead < -self._patience:
            self._gap = (track.end, begin)
            track.fill(-ahead)
            ahead, self._ahead = 0, 0.0
        elif ahead > self._slack:
            ahead -= self._move_back(ahead)
        self._patience = self._jitter
        if ahead > self._most_ahead:
            self.dropped_ms += count * 1000 // self._format.rate_hz
            return
        track.add(self._in_step(audio, count, ahead))

    def _move_back(self, ahead: int) -> int:
        """Moves what came since the last pause into it; how many samples."""
        begin, end = max(self._gap[0], self._caller.begins), self._gap[1]
        moved = min(ahead, max(0, end - begin))
        if moved:
            self._caller.remove(begin, begin + moved)
            self._gap = (begin, end - moved)
            self._ahead = 0.0
        return moved

    def _in_step(self, audio: bytes, count: int, ahead: int) -> bytes:
        """The frame, a sample or so longer or shorter while the caller's channel
        is behind or ahead: what a drifting clock needs and nobody hears. Jitter
        only ever delays, so the least delayed of the recent frames counts."""
        self._ahead = max(float(ahead), self._ahead - count * LEAK)
        if abs(self._ahead) <= self._slack:
            return audio
        slip, size = max(1, count // SLIP), self._format.sample_bytes
        if self._ahead > 0:
            self._ahead -= slip
            return audio[: -slip * size]
        self._ahead += slip
        return audio + audio[-size:] * slip

    # ------------------------------------------------------------- the receptionist

    def heard(self, at_s: float, audio: bytes, item_id: str = "") -> None:
        """A frame of an item's audio that the leg plays from `at_s` on."""
        at, count = self._position(at_s), len(audio) // self._format.sample_bytes
        self._give_out(at)
        track = self._heard
        if at - track.end > self._slack:
            track.fill(at - track.end)
        before = self._item[1] if self._item[0] == item_id else 0
        self._item = (item_id, before + count)
        self._placed.append((item_id, before, track.end, count))
        track.add(audio)

    def cut(self, item_id: str, heard_ms: int) -> None:
        """Of this item no more than `heard_ms` was heard, and nothing after it."""
        heard = heard_ms * self._format.rate_hz // 1000
        for item, before, position, count in self._placed:
            if item == item_id and before + count > heard:
                self._end_heard(position + max(0, heard - before))
                return

    def _end_heard(self, position: int) -> None:
        self._heard.remove(position, self._heard.end)
        while self._placed and self._placed[-1][2] >= position:
            self._placed.pop()

    # ------------------------------------------------------------- giving out

    def finish(self, at_s: float) -> None:
        """The call is over: gives out the rest. Nothing is heard after `at_s`."""
        at = self._position(at_s)
        self._give_out(at)
        self._end_heard(at)
        end = max(at, self._caller.end)
        while (left := end - self._caller.begins) > 0:
            self._next_block(min(left, self._block))

    def _position(self, at_s: float) -> int:
        return round((at_s - self._begin_s) * self._format.rate_hz)

    def _give_out(self, now: int) -> None:
        while now - self._window - self._caller.begins >= self._block:
            self._next_block(self._block)
            while self._placed and sum(self._placed[0][2:]) <= self._heard.begins:
                self._placed.popleft()

    def _next_block(self, samples: int) -> None:
        self._emit(self._caller.take(samples), self._heard.take(samples))
