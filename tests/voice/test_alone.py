"""The scripted engine as a process of its own: answers in the caller's tone, keeps bills."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from actors.audio import to_linear
from cluster.chaos.tones import tone_of, voice_hz, words
from cluster.playback import FRAME_BYTES, SILENCE
from tests.voice.client import Client, audio_of
from tests.waiting import PATIENCE_S
from voice.audio import encode
from voice.scripted import pitch_hz

PCMU = {"type": "audio/pcmu"}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """The process, its port and its bills."""
    bills = tmp_path / "bills.jsonl"
    command = [sys.executable, "-m", "voice.alone", "--bills", str(bills)]
    command += ["--script", '{"echo": true, "answer_ms": 1000}']
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], PATIENCE_S)[0]
        url = json.loads(process.stdout.readline())["url"]
        yield process, int(url.rpartition(":")[2].partition("/")[0]), bills
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert process.stdout is not None
        process.stdout.close()


def bills_in(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_each_caller_is_answered_in_its_own_tone_and_billed(
    alone: tuple[subprocess.Popen[str], int, Path],
) -> None:
    _, port, path = alone
    responses = []
    for number in (0, 7):
        client = await Client.open(port, "model=scripted")
        await client.configure(audio={"input": {"format": PCMU}, "output": {"format": PCMU}})
        await client.hear(SILENCE * 20 + words(voice_hz(number), 800) + SILENCE * 40, 160)
        done = await client.until("response.done")
        responses.append(done["response"])
        said = [
            each["transcript"] for each in client.events if each["type"].endswith("transcript.done")
        ]
        assert said == [f"tone {voice_hz(number)}"]
        sound = audio_of(client.events)
        frames = [sound[at : at + FRAME_BYTES] for at in range(0, len(sound), FRAME_BYTES)]
        assert {tone_of(frame) for frame in frames[2:-2]} == {voice_hz(number)}
        await client.close()
    assert [each["response_id"] for each in bills_in(path)] == [each["id"] for each in responses]
    assert [each["usage"] for each in bills_in(path)] == [each["usage"] for each in responses]


async def test_on_sigusr1_every_session_breaks_and_new_ones_are_taken(
    alone: tuple[subprocess.Popen[str], int, Path],
) -> None:
    process, port, _ = alone
    client = await Client.open(port, "model=scripted")
    process.send_signal(signal.SIGUSR1)
    with pytest.raises(ConnectionClosed) as caught:
        await client.receive()
    assert caught.value.rcvd is None  # no goodbye
    await (await Client.open(port, "model=scripted")).close()


def test_the_pitch_of_a_tone_that_was_coded_is_found() -> None:
    said = words(1250, 200)
    assert pitch_hz(to_linear(said, "pcmu").tobytes(), 8_000) == 1250
    assert encode(to_linear(said, "pcmu"), "pcmu") == said
