"""Other people's Realtime clients hold spoken conversations with the engine:
real recognition, real synthesis, the receptionist's brain."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner

from cluster.wav import mulaw
from tests.voice.client import check
from tests.waiting import patience
from voice.brain import ReceptionBrain
from voice.server import EngineConfig, EngineServer
from voice.speech.callers import caller_speech
from voice.speech.recognizer import RecognizerActor, RemoteRecognizer
from voice.speech.synthesizer import RemoteSynthesizer, SynthesizerActor

PAUSE = b"\xff" * 8_000  # a second, mu-law
FRAME = 160
HOURS = "We are open from nine to five."
INSTRUCTIONS = "You are the receptionist of Harbour Lane Instruments."
FORMAT = {"type": "audio/pcmu"}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """ws:// base of an engine that really listens and speaks."""
    ears, mouth = str(tmp_path / "r.sock"), str(tmp_path / "s.sock")
    recognizer, synthesizer = RecognizerActor(ears), SynthesizerActor(mouth)
    await recognizer.start()
    await synthesizer.start()
    parts = RemoteRecognizer([ears]), RemoteSynthesizer(mouth), ReceptionBrain()
    server = EngineServer(EngineConfig(api_key="secret"), *parts)
    port = await server.start()
    yield f"://127.0.0.1:{port}/v1"
    await server.stop()
    await recognizer.stop()
    await synthesizer.stop()


def spoken(text: str) -> bytes:
    """A caller's words and the pause that ends the turn, mu-law."""
    return mulaw(caller_speech(text, 0)) + PAUSE


async def test_the_openai_package_holds_a_conversation(url: str) -> None:
    tool = {
        "type": "function", "name": "get_opening_hours", "description": "",
        "parameters": {"type": "object", "properties": {}},
    }  # fmt: skip
    session = {
        "type": "realtime",
        "instructions": INSTRUCTIONS,
        "tools": [tool],
        "audio": {
            "input": {"format": FORMAT, "transcription": {"model": "whisper-1", "language": "en"}},
            "output": {"format": FORMAT, "voice": "marin"},
        },
    }
    async with (
        openai.AsyncOpenAI(api_key="secret", base_url=f"http{url}") as client,
        client.realtime.connect(model="gpt-realtime-2.1-mini") as connection,
    ):
        talk = _Talk(connection)
        # as a program without types has it
        await connection.session.update(session=session)  # type: ignore[arg-type]
        await talk.say("What are your opening hours?")
        calls = [event for event in await talk.turn() if event.type.endswith("arguments.done")]
        assert [call.name for call in calls] == ["get_opening_hours"]
        result = {
            "type": "function_call_output", "call_id": calls[0].call_id,
            "output": json.dumps({"ok": True, "spoken": HOURS}),
        }  # fmt: skip
        # as a program without types has it
        await connection.conversation.item.create(item=result)  # type: ignore[arg-type]
        await connection.response.create()
        answer = await talk.turn()
        assert _words(answer).startswith(HOURS)
        assert len(_sound(answer)) > 8_000  # over a second of mu-law
        await talk.say("No, thank you, that's all. Goodbye.")
        assert "Goodbye" in _words(await talk.turn())
    assert "opening hours" in talk.heard[0].lower()


class _Talk:
    """A caller at an open connection of the openai package."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.heard: list[str] = []

    async def say(self, text: str) -> None:
        audio = spoken(text)
        for at in range(0, len(audio), FRAME):
            piece = base64.b64encode(audio[at : at + FRAME]).decode()
            await self._connection.input_audio_buffer.append(audio=piece)

    async def turn(self) -> list[Any]:
        """What comes up to the end of a response that was not cut off."""
        events: list[Any] = []
        async with patience():
            while True:
                raw = await self._connection.recv_bytes()
                event = check(json.loads(raw))
                events.append(event)
                if event.type.endswith("transcription.completed"):
                    self.heard.append(event.transcript)
                if event.type == "response.done" and event.response.status == "completed":
                    return events


def _words(events: list[Any]) -> str:
    done = [e.transcript for e in events if e.type == "response.output_audio_transcript.done"]
    return " ".join(done)


def _sound(events: list[Any]) -> bytes:
    deltas = [e.delta for e in events if e.type == "response.output_audio.delta"]
    return b"".join(base64.b64decode(delta) for delta in deltas)


async def test_the_agents_package_holds_a_conversation(url: str) -> None:
    asked: list[str] = []

    @function_tool
    def get_opening_hours(day: str = "") -> str:
        """When the company is open."""
        asked.append(day)
        return json.dumps({"ok": True, "spoken": HOURS})

    agent: RealtimeAgent[Any] = RealtimeAgent(
        name="reception", instructions=INSTRUCTIONS, tools=[get_opening_hours]
    )
    settings = {
        "input_audio_format": "g711_ulaw", "output_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "whisper-1", "language": "en"},
        "turn_detection": {"type": "server_vad"},
    }  # fmt: skip
    config = {
        "api_key": "secret", "url": f"ws{url}/realtime?model=gpt-realtime-2.1",
        "initial_model_settings": settings,
    }  # fmt: skip
    heard, sound, ends = "", 0, 0
    async with patience():  # noqa: SIM117 - or the line is too long
        # as a program without types has it
        async with await RealtimeRunner(agent).run(model_config=config) as session:  # type: ignore[arg-type]
            await session.send_audio(spoken("What are your opening hours?"))
            async for event in session:
                assert event.type != "error", event
                if event.type == "audio":
                    sound += len(event.audio.data)
                if event.type == "audio_end":
                    ends += 1
                    if ends == 1:
                        await session.send_audio(spoken("No, thank you, that's all. Goodbye."))
                if event.type in ("history_updated", "history_added"):
                    heard = json.dumps(
                        [item.model_dump() for item in getattr(event, "history", [])]
                    )
                    if "Goodbye." in heard and "Thank you for calling" in heard:
                        break
    assert asked == [""]
    assert HOURS in heard
    assert sound > 8_000
