"""How much memory a piece of work takes anew, freed again or not.

CPython counts what is in use, not what was given out. So the work is traced, and the
count is read between every two of its instructions: each rise is what that instruction
took. What is given back within the same instruction is not seen (of `f(g(x))` what g gave
goes as f's result comes), so the figures are lower bounds; nor are objects seen that come
from CPython's free lists (small tuples, floats, lists' heads), which cost next to nothing.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

WARM, FRAMES = 200, 200


@dataclass(frozen=True, slots=True)
class Taken:
    """Per frame. blocks: taken of CPython's allocator; size: bytes of them; kept: blocks
    that are in use still after it."""

    blocks: float
    size: float
    kept: float


class _Rises:
    """Sums the rises of a count between a traced piece of work's instructions."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._last = array("q", [0])  # in which a number is no object that is counted
        self._sum = array("q", [0])

    def __call__(self, frame: FrameType, event: str, argument: object) -> _Rises:
        del argument
        now = self._count()
        if event == "call":  # the frame's own object is the tracing's
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif now > self._last[0]:
            self._sum[0] += now - self._last[0]
        del now
        self._last[0] = self._count()
        return self

    def of(self, work: Callable[[], object]) -> float:
        """Each frame's."""
        self._sum[0], self._last[0] = 0, self._count()
        before = sys.gettrace()
        sys.settrace(self)
        try:
            for _ in range(FRAMES):
                work()
        finally:
            sys.settrace(before)
        return self._sum[0] / FRAMES


def taken(work: Callable[[], object]) -> Taken:
    """What one frame's work takes, on the average of `FRAMES`."""
    for _ in range(WARM):
        work()
    gc.collect()
    gc.disable()
    try:
        blocks = _beyond_nothing(work, sys.getallocatedblocks)
        tracemalloc.start()
        try:
            size = _beyond_nothing(work, lambda: tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        before = sys.getallocatedblocks()
        for _ in range(FRAMES):
            work()
        kept = (sys.getallocatedblocks() - before) / FRAMES
    finally:
        gc.enable()
    return Taken(blocks, size, kept)


def _beyond_nothing(work: Callable[[], object], count: Callable[[], int]) -> float:
    """Less what the tracing itself takes."""
    return max(0.0, _Rises(count).of(work) - _Rises(count).of(lambda: None))
