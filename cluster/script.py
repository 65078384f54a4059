"""What a test caller does, step by step: pure, one 20 ms frame at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from cluster.playback import FRAME_BYTES, FRAME_S, SILENCE

QUIET_S = 0.4
GIVEN_UP_QUIET_S = 2.0
ANSWER_PATIENCE_S = 30.0
_LOUD = 0x30  # of the 7-bit magnitude: about 900 of 32,768


@dataclass(frozen=True, slots=True)
class Listen:
    """Until the receptionist has spoken and is quiet again."""


@dataclass(frozen=True, slots=True)
class Say:
    """Mu-law audio and its words."""

    audio: bytes
    text: str = ""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Waits until the receptionist has been heard for `after_s`, then speaks over it."""

    audio: bytes
    after_s: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Press:
    digits: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller hangs up."""


@dataclass(frozen=True, slots=True)
class StayOn:
    """Until the receptionist ends the call or transfers it."""


@dataclass(frozen=True, slots=True)
class Until:
    """Says nothing until it is true."""

    true: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Mute:
    """No frames at all for a while, as from a leg that suppresses silence."""

    for_s: float


@dataclass(frozen=True, slots=True)
class Vanish:
    """The caller is gone without a goodbye.

    how: "cut": the connection breaks; "silent": it stays, and nothing comes any
    more, as when a cable is pulled.
    """

    how: Literal["cut", "silent"] = "cut"


@dataclass(frozen=True, slots=True)
class Garbage:
    """Sends what no telephony system should."""

    kind: str


Step = Listen | Say | Interrupt | Press | HangUp | StayOn | Until | Mute | Vanish | Garbage
Deed = Press | HangUp | Vanish | Garbage


@dataclass(slots=True)
class Ear:
    """What the caller hears.

    frames: heard so far. quiet_s: since the last one. answering: the server
    says that an answer is on its way or being given.
    """

    frames: int = 0
    quiet_s: float = 0.0
    answering: bool = False


@lru_cache(4096)
def loud(frame: bytes) -> bool:
    """Whether somebody speaks in a mu-law frame."""
    return max((0x7F - (code & 0x7F) for code in frame), default=0) >= _LOUD


class Script:
    """Follows the steps. Call `next` once for each frame: about 1 us.

    Args:
        steps: one after the other.
        again: from the first one when the last is done.

    Attributes:
        stopped_speaking_s: when the caller's last words ended; 0 before any.
        cut_in_s: when an interruption began to sound; 0 before any.
        fault: why the script could not go on; it hangs up then.
    """

    def __init__(self, steps: Sequence[Step], *, again: bool = False) -> None:
        self.stopped_speaking_s = self.cut_in_s = 0.0
        self.fault = ""
        self._steps = deque(steps)
        self._again = tuple(steps) if again else ()
        self._began_s: float | None = None  # of the step
        self._heard_before = 0  # frames, when the caller's last words ended
        self._frames: deque[bytes] = deque()  # left to speak
        self._interrupting = False

    @property
    def speaking(self) -> bool:
        """Whether words are left to be said."""
        return bool(self._frames)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return not self._steps and not self._frames and not self._again

    def next(self, now_s: float, ear: Ear) -> tuple[bytes, list[Deed]]:
        """The caller's frame (b"" for none), and what else is done now."""
        done: list[Deed] = []
        if not self._steps and not self._frames:
            self._steps.extend(self._again)
        while self._steps and not self._frames:
            if self._began_s is None:
                self._began_s = now_s
            step = self._steps[0]
            if not self._over(step, now_s - self._began_s, ear):
                break
            self._began_s = None
            self._steps.popleft()
            if self.fault:
                self._steps.clear()
                self._again = ()
                done.append(HangUp())
            elif isinstance(step, Deed):
                done.append(step)
                self._heard_before = ear.frames
            elif isinstance(step, Say | Interrupt):
                self._frames = deque(_frames(step.audio))
                self._interrupting = isinstance(step, Interrupt)
        if self._steps and not self._frames and isinstance(self._steps[0], Mute):
            return b"", done
        return self._speak(now_s, ear), done

    def _over(self, step: Step, waited_s: float, ear: Ear) -> bool:
        heard = ear.frames - self._heard_before
        match step:
            case Listen():
                return self._answered(heard, waited_s, ear)
            case Interrupt(_, after_s):
                if heard * FRAME_S < after_s and waited_s > ANSWER_PATIENCE_S:
                    self.fault = f"no answer of {after_s:g} s came to talk over"
                return heard * FRAME_S >= after_s or bool(self.fault)
            case StayOn():
                return False
            case Until(true):
                return true()
            case Mute(for_s):
                return waited_s >= for_s
        return True

    def _answered(self, heard: int, waited_s: float, ear: Ear) -> bool:
        if heard == 0:
            if waited_s > ANSWER_PATIENCE_S:
                self.fault = f"no answer came within {ANSWER_PATIENCE_S:g} s"
            return bool(self.fault)
        return ear.quiet_s >= (GIVEN_UP_QUIET_S if ear.answering else QUIET_S)

    def _speak(self, now_s: float, ear: Ear) -> bytes:
        if not self._frames:
            return SILENCE
        frame = self._frames.popleft()
        if loud(frame):
            self.stopped_speaking_s = now_s + FRAME_S
            self._heard_before = ear.frames
            if self._interrupting:
                self._interrupting, self.cut_in_s = False, now_s
        return frame


@lru_cache(256)
def _frames(audio: bytes) -> tuple[bytes, ...]:
    """Whole frames; cut once for all callers that say the same."""
    return tuple(
        audio[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\xff")
        for at in range(0, len(audio), FRAME_BYTES)
    )
