"""The callers: many calls in real time, each with a clock and a voice of its own.

Says {"up": n, "failed": [...]} once every call was placed; asked "end", hangs up and
says what was sent and heard: {"sent": [[mark, call, ns]], "heard": [...], "far": [...],
"late_ms": [...], "gone": [calls that the bridge ended], "damaged": n}.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

import uvloop

from benchmarks.bridges.legs import Leg, Refused, legs_of
from benchmarks.bridges.parts import say
from benchmarks.bridges.tones import FRAME_MS, PCMU, Ear, Voice

PATIENCE_S = 90.0  # a call that is refused is tried again for so long
AGAIN_S = 0.5


class Call:
    """One call, from placing it to hanging up."""

    def __init__(self, number: int, leg: Leg) -> None:
        self.number, self.leg = number, leg
        self.sent: list[tuple[int, int]] = []
        self.heard: list[tuple[int, int]] = []
        self.late_ms: list[float] = []
        self.gone = False
        self.tries = 0
        self.ear = Ear(PCMU)
        self._tasks: list[asyncio.Task[None]] = []

    async def place(self) -> None:
        """Opens the leg and begins to speak. Raises Refused when it is never taken."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            self.tries += 1
            try:
                await self.leg.open()
                break
            except Refused:
                if time.monotonic() > until_s:
                    raise
                await asyncio.sleep(AGAIN_S)
        self._tasks = [asyncio.create_task(self._speak()), asyncio.create_task(self._listen())]

    async def _speak(self) -> None:
        voice = Voice(PCMU, self.number)
        next_s = time.monotonic()
        while True:
            for frame, mark in voice.word():
                if mark is not None:
                    self.sent.append((mark, time.monotonic_ns()))
                    self.late_ms.append((time.monotonic() - next_s) * 1000)
                await self.leg.send(frame)
                next_s += FRAME_MS / 1000
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))

    async def _listen(self) -> None:
        while (audio := await self.leg.receive()) is not None:
            self.heard += self.ear.hear(audio, time.monotonic_ns())
        self.gone = True

    async def hang_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.leg.close()


async def _place(call: Call, after_s: float) -> str:
    await asyncio.sleep(after_s)
    try:
        await call.place()
    except Refused as error:
        return f"call {call.number}: {error}"
    return ""


def _rows(calls: list[Call], name: str) -> list[tuple[int, int, int]]:
    return [
        (mark, call.number, at_ns)
        for call in calls
        for mark, at_ns in (call.leg.far if name == "far" else getattr(call, name))
    ]


def _result(calls: list[Call]) -> dict[str, Any]:
    result: dict[str, Any] = {name: _rows(calls, name) for name in ("sent", "heard", "far")}
    result["late_ms"] = [late for call in calls for late in call.late_ms]
    result["damaged"] = sum(call.ear.damaged for call in calls)
    return result


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bridge", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--per-second", type=float, required=True, help="new calls")
    options = parser.parse_args()
    leg = legs_of(options.bridge, options.address, options.key)
    calls = [Call(number, leg(number)) for number in range(options.calls)]
    say(ready={})
    # Clocks of different calls have different phases within a frame.
    placing = [
        _place(call, call.number / options.per_second + call.number * 0.618 % 1 * FRAME_MS / 1000)
        for call in calls
    ]
    failed = [error for error in await asyncio.gather(*placing) if error]
    say(up=len(calls) - len(failed), tries=sum(call.tries for call in calls), failed=failed)
    await asyncio.to_thread(sys.stdin.readline)
    gone = [call.number for call in calls if call.gone]
    await asyncio.gather(*(call.hang_up() for call in calls), return_exceptions=True)
    say(gone=gone, **_result(calls))


if __name__ == "__main__":
    uvloop.run(main())
