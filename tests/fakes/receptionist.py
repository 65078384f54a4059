"""A receptionist for `tests.fakes.door`: greets, answers, stops when interrupted."""

from __future__ import annotations

import asyncio
from collections import Counter

from cluster.playback import FRAME_BYTES, FRAME_S
from cluster.script import loud
from protos.reception.v1 import reception_pb2 as rv
from tests.fakes.door import Line

ANSWER = bytes([0x11]) * FRAME_BYTES
PAUSE_FRAMES = 5


class Receptionist:
    """One conversation for each call; counts what it saw.

    Args:
        answer_frames: how long it speaks.
    """

    def __init__(self, answer_frames: int = 10, gateway_us: int = 1_500) -> None:
        self.seen: Counter[str] = Counter()
        self.starts: list[rv.CallStart] = []
        self.silences: list[int] = []  # frames not sent, by their timestamps
        self.lose_every = 0
        self._frames, self._gateway_us = answer_frames, gateway_us

    async def __call__(self, line: Line) -> None:
        """Serves a call until its end."""
        self.starts.append(await line.accept(f"call-{len(self.starts) + 1}"))
        talk = _Talk(self, line)
        try:
            await talk.listen()
        except EOFError:
            self.seen["half-close without end"] += 1
        finally:
            await talk.stop()
        summary = rv.CallSummary(call=rv.Call(end_reason="caller_hangup"))
        await line.send(summary=summary)


class _Talk:
    """One call's turn-taking."""

    def __init__(self, house: Receptionist, line: Line) -> None:
        self._house, self._line = house, line
        self._sequence = self._turn = 0
        self._last_ms = -20
        self._stopping = False
        self._speaking = asyncio.create_task(self._speak())

    async def listen(self) -> None:
        quiet = PAUSE_FRAMES
        while True:
            message = await self._line.next("audio", "dtmf", "mark", "end", "event")
            kind = message.WhichOneof("message") or ""
            self._house.seen[kind] += 1
            if kind == "end":
                return
            if kind == "dtmf":
                self._house.seen[f"dtmf {message.dtmf.digits}"] += 1
            if kind != "audio":
                continue
            gap = (message.audio.timestamp_ms - self._last_ms) // 20 - 1
            if gap > 0:
                self._house.silences.append(gap)
            self._last_ms = message.audio.timestamp_ms
            if loud(message.audio.payload):
                await self._interrupted()
                quiet = 0
                continue
            quiet += 1
            if quiet == PAUSE_FRAMES:
                self._speaking = asyncio.create_task(self._speak())

    async def stop(self) -> None:
        """Between two frames: a write that is cancelled is still under way, and
        gRPC takes no second one."""
        self._stopping = True
        await self._speaking
        self._stopping = False

    async def _interrupted(self) -> None:
        if self._speaking.done():
            return
        await self.stop()
        self._house.seen["interrupted"] += 1
        await self._line.send(clear_audio=rv.ClearAudio(item_id=f"i{self._turn}"))
        await self._done(interrupted=True)

    async def _speak(self) -> None:
        self._turn += 1
        item = f"i{self._turn}"
        began = rv.TurnEvent(kind=rv.TurnEvent.KIND_FIRST_AUDIO, turn=self._turn)
        await self._line.send(turn=began)
        for _ in range(self._house._frames):
            if self._stopping:
                return
            self._sequence += 1
            if self._house.lose_every and self._sequence % self._house.lose_every == 0:
                continue
            audio = rv.Audio(
                payload=ANSWER,
                sequence=self._sequence,
                timestamp_ms=self._sequence * 20,
                item_id=item,
            )
            await self._line.send(audio=audio)
            await asyncio.sleep(FRAME_S)
        await self._line.send(mark=rv.Mark(name=item))
        await self._done(interrupted=False)

    async def _done(self, *, interrupted: bool) -> None:
        turn = rv.TurnEvent(
            kind=rv.TurnEvent.KIND_DONE,
            turn=self._turn,
            gateway_us=self._house._gateway_us,
            gateway_up_us=self._house._gateway_us // 3 if self._turn > 1 else 0,
            interrupted=interrupted,
        )
        await self._line.send(turn=turn)
