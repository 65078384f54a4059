"""The scripted provider of all bridges: OpenAI Realtime (GA) with a fixed conversation.

A session takes audio at any time and listens for words in it (`tones`). It greets when
it was configured; then, every `--every-ms`, a caller's turn (speech started, stopped,
committed, transcribed) is followed by an answer of `--answer-ms`: in deltas of 20 ms in
real time, or with `--answers burst` in deltas of 200 ms all at once. Sessions take turns
with different phases. Answers begin with a word and end with silence.

Asked "records", it says what was heard and sent since it was last asked:
{"heard": [[mark, session, ns]], "sent": [...], "damaged": n}.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.bridges.parts import say
from benchmarks.bridges.tones import FRAME_MS, FRAMES_PER_WORD, PCM24K, PCMU, SPEAKERS, Ear, Voice

BURST_FRAMES = 10
GOLDEN = 0.618  # phases that spread evenly, however many sessions there are
SPEECH_BEFORE_MS = 1_200  # of the caller, before an answer
SILENCE_BEFORE_MS = 200  # between the end of speech and the answer

Row = tuple[int, int, int]
Event = dict[str, Any]


class Records:
    """What was heard and sent: (mark, session, ns)."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forgets everything; sessions are numbered from 0 again."""
        self.sessions = 0
        self.heard: list[Row] = []
        self.sent: list[Row] = []
        self.ears: list[Ear] = []

    def take(self) -> Event:
        damaged = sum(ear.damaged for ear in self.ears)
        taken = {"heard": self.heard, "sent": self.sent, "damaged": damaged}
        self.clear()
        return taken


class Session:
    """One connection."""

    def __init__(self, socket: ServerConnection, options: argparse.Namespace, records: Records):
        self._socket, self._options, self._records = socket, options, records
        self._config: Event = {"type": "realtime", "object": "realtime.session", "audio": {}}
        self._config["id"] = f"sess_{id(socket):x}"
        self._number = -1
        self._ear = Ear(PCM24K)
        self._voice = Voice(PCM24K, 0)
        self._ids = 0
        self._talk: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until the client hangs up."""
        try:
            await self._send("session.created", session=self._config)
            async for raw in self._socket:
                now_ns = time.monotonic_ns()
                event = json.loads(raw)
                if event["type"] == "input_audio_buffer.append":
                    self._hear(base64.b64decode(event["audio"]), now_ns)
                elif handler := self._handlers().get(event["type"]):
                    await handler(event)
        except ConnectionClosed:
            pass
        finally:
            if self._talk is not None:
                self._talk.cancel()

    def _handlers(self) -> dict[str, Callable[[Event], Any]]:
        return {
            "session.update": self._configure,
            "conversation.item.create": self._create_item,
            "conversation.item.truncate": self._truncate,
            "conversation.item.delete": self._delete,
        }

    async def _send(self, kind: str, **fields: Any) -> None:
        self._ids += 1
        event = {"type": kind, "event_id": f"event_{self._ids}"} | fields
        await self._socket.send(json.dumps(event, separators=(",", ":")))

    def _hear(self, audio: bytes, now_ns: int) -> None:
        if self._number >= 0:
            for mark, at_ns in self._ear.hear(audio, now_ns):
                self._records.heard.append((mark, self._number, at_ns))

    # ------------------------------------------------------------- what clients ask

    async def _configure(self, event: Event) -> None:
        self._config |= event["session"]
        await self._send("session.updated", session=self._config)
        if self._number >= 0:
            return
        records = self._records
        self._number, records.sessions = records.sessions, records.sessions + 1
        audio = self._config["audio"]
        self._ear = Ear(_coding(audio.get("input")))
        self._voice = Voice(_coding(audio.get("output")), self._number % SPEAKERS)
        records.ears.append(self._ear)
        self._talk = asyncio.create_task(self._converse())

    async def _create_item(self, event: Event) -> None:
        self._ids += 1
        item = {"id": f"item_{self._ids}", "object": "realtime.item", "status": "completed"}
        item |= event["item"]
        for kind in ("conversation.item.added", "conversation.item.done"):
            await self._send(kind, previous_item_id=None, item=item)

    async def _truncate(self, event: Event) -> None:
        names = ("item_id", "content_index", "audio_end_ms")
        fields = {name: event[name] for name in names}
        await self._send("conversation.item.truncated", **fields)

    async def _delete(self, event: Event) -> None:
        await self._send("conversation.item.deleted", item_id=event["item_id"])

    # ------------------------------------------------------------- the conversation

    async def _converse(self) -> None:
        every_s = self._options.every_ms / 1000
        next_s = time.monotonic() + every_s * (1 + self._number * GOLDEN % 1)
        await self._answer()
        while True:
            await _until(next_s - (SPEECH_BEFORE_MS + SILENCE_BEFORE_MS) / 1000)
            await self._caller_turn()
            await _until(next_s)
            await self._answer()
            next_s += every_s

    async def _caller_turn(self) -> None:
        item_id = f"item_u{self._ids}"
        start_ms = time.monotonic_ns() // 1_000_000 % 3_600_000
        await self._send(
            "input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=item_id
        )
        await asyncio.sleep(SPEECH_BEFORE_MS / 1000)
        await self._send(
            "input_audio_buffer.speech_stopped",
            audio_end_ms=start_ms + SPEECH_BEFORE_MS,
            item_id=item_id,
        )
        await self._send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
        content = [{"type": "input_audio", "transcript": None}]
        item = _message(item_id, "user", "completed", content)
        for kind in ("conversation.item.added", "conversation.item.done"):
            await self._send(kind, previous_item_id=None, item=item)
        await self._send(
            "conversation.item.input_audio_transcription.completed",
            item_id=item_id,
            content_index=0,
            transcript="hello",
            usage={"type": "duration", "seconds": SPEECH_BEFORE_MS / 1000},
        )

    async def _answer(self) -> None:
        item_id, response_id = f"item_a{self._ids}", f"resp_{self._ids}"
        at = {"response_id": response_id, "item_id": item_id, "output_index": 0}
        part = at | {"content_index": 0}
        transcript = "Certainly."
        item = _message(item_id, "assistant", "in_progress", [])
        await self._send("response.created", response=self._response(response_id, None))
        await self._send(
            "response.output_item.added", response_id=response_id, output_index=0, item=item
        )
        await self._send("conversation.item.added", previous_item_id=None, item=item)
        empty = {"type": "audio", "transcript": ""}
        await self._send("response.content_part.added", **part, part=empty)
        await self._send("response.output_audio_transcript.delta", **part, delta=transcript)
        await self._speak(part)
        await self._send("response.output_audio.done", **part)
        await self._send("response.output_audio_transcript.done", **part, transcript=transcript)
        said = {"type": "audio", "transcript": transcript}
        await self._send("response.content_part.done", **part, part=said)
        content = [{"type": "output_audio", "transcript": transcript}]
        item = _message(item_id, "assistant", "completed", content)
        await self._send(
            "response.output_item.done", response_id=response_id, output_index=0, item=item
        )
        await self._send("conversation.item.done", previous_item_id=None, item=item)
        await self._send("response.done", response=self._response(response_id, item))

    async def _speak(self, part: Event) -> None:
        """Whole words, then silence until the answer has its length."""
        paced = self._options.answers == "paced"
        count = self._options.answer_ms // FRAME_MS
        frames = [each for _ in range(count // FRAMES_PER_WORD) for each in self._voice.word()]
        frames += [(self._voice.silence(), None)] * (count - len(frames))
        head = json.dumps({"type": "response.output_audio.delta", "event_id": "event_d"} | part)
        head = head[:-1] + ',"delta":"'
        at_once = 1 if paced else BURST_FRAMES
        next_s = time.monotonic()
        for number in range(0, count, at_once):
            delta = frames[number : number + at_once]
            audio = base64.b64encode(b"".join(frame for frame, _ in delta)).decode()
            mark = delta[0][1]
            if mark is not None and (paced or number == 0):
                self._records.sent.append((mark, self._number, time.monotonic_ns()))
            await self._socket.send(head + audio + '"}')
            if paced:
                next_s += FRAME_MS / 1000
                await _until(next_s)

    def _response(self, response_id: str, item: Event | None) -> Event:
        response: Event = {
            "id": response_id,
            "object": "realtime.response",
            "status": "completed" if item else "in_progress",
            "output": [item] if item else [],
            "output_modalities": ["audio"],
        }
        if item:
            spoken = self._options.answer_ms // 50  # one token for 50 ms (OpenAI's prices)
            response["usage"] = {
                "total_tokens": 1_540 + spoken,
                "input_tokens": 1_540,
                "output_tokens": spoken,
                "input_token_details": {
                    "text_tokens": 1_500,
                    "audio_tokens": 40,
                    "cached_tokens": 1_472,
                    "cached_tokens_details": {"text_tokens": 1_472, "audio_tokens": 0},
                },
                "output_token_details": {"text_tokens": 0, "audio_tokens": spoken},
            }
        return response


def _coding(side: Event | None) -> str:
    """PCMU, or PCM at 24 kHz, which is the default."""
    return PCMU if ((side or {}).get("format") or {}).get("type") == PCMU else PCM24K


def _message(item_id: str, role: str, status: str, content: list[Event]) -> Event:
    item: Event = {"id": item_id, "object": "realtime.item", "type": "message"}
    return item | {"role": role, "status": status, "content": content}


async def _until(at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - time.monotonic()))


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The scripted provider.")
    parser.add_argument("--answers", choices=("paced", "burst"), default="paced")
    parser.add_argument("--answer-ms", type=int, default=2_000)
    parser.add_argument("--every-ms", type=int, default=4_000)
    return parser.parse_args(words)


async def main() -> None:
    options, records = arguments(), Records()
    served = serve(
        lambda socket: Session(socket, options, records).run(),
        "127.0.0.1",
        0,
        compression=None,
        ping_interval=None,
        max_size=16 * 1024 * 1024,
    )
    async with served as server:
        port = next(iter(server.sockets)).getsockname()[1]
        say(ready={"base_url": f"http://127.0.0.1:{port}/v1"})
        while await asyncio.to_thread(sys.stdin.readline):
            say(**records.take())


if __name__ == "__main__":
    uvloop.run(main())
