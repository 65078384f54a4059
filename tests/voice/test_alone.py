"""The scripted engine as a process of its own: answers in the caller's tone, keeps bills."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from actors.audio import to_linear
from cluster.chaos.tones import tone_of, voice_hz, words
from cluster.playback import FRAME_BYTES, SILENCE
from tests.voice.client import Client, audio_of
from tests.waiting import PATIENCE_S, patience
from voice.audio import encode
from voice.scripted import pitch_hz

PCMU = {"type": "audio/pcmu"}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """The process, its port and its bills."""
    bills = tmp_path / "bills.jsonl"
    command = [sys.executable, "-m", "voice.alone", "--bills", str(bills)]
    command += ["--script", '{"echo": true, "answer_ms": 1000}', "--told"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], PATIENCE_S)[0]
        url = json.loads(process.stdout.readline())["url"]
        yield process, int(url.rpartition(":")[2].partition("/")[0]), bills
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


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


def tell(process: subprocess.Popen[str], order: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{order}\n")
    process.stdin.flush()


async def told(alone: tuple[subprocess.Popen[str], int, Path], order: str) -> Client:
    """A session that was open when the order came."""
    process, port, _ = alone
    client = await Client.open(port, "model=scripted")
    tell(process, order)
    return client


async def closed(client: Client) -> bool:
    """Once a session that was open is closed: whether with a goodbye."""
    await client.connection.wait_closed()
    return client.connection.close_code != 1006


async def test_told_to_drop_it_breaks_every_session_and_takes_new_ones(
    alone: tuple[subprocess.Popen[str], int, Path],
) -> None:
    _, port, _ = alone
    client = await told(alone, "drop")
    assert not await closed(client)
    await (await Client.open(port, "model=scripted")).close()


async def test_told_to_expire_it_says_that_the_sessions_are_too_old(
    alone: tuple[subprocess.Popen[str], int, Path],
) -> None:
    _, port, _ = alone
    client = await told(alone, "expire")
    error = await client.until("error")
    assert error["error"]["code"] == "session_expired"
    assert await closed(client)
    await (await Client.open(port, "model=scripted")).close()


async def test_while_it_is_away_it_takes_no_session(
    alone: tuple[subprocess.Popen[str], int, Path],
) -> None:
    process, port, _ = alone
    client = await told(alone, "away 60")
    await closed(client)
    with pytest.raises(InvalidStatus) as caught:
        await Client.open(port, "model=scripted")
    assert caught.value.response.status_code == 503
    tell(process, "away 0")
    async with patience():
        while True:
            with suppress(InvalidStatus):
                await (await Client.open(port, "model=scripted")).close()
                break


async def test_while_nobody_pays_sessions_open_and_fail_at_their_first_answer(
    alone: tuple[subprocess.Popen[str], int, Path],
) -> None:
    _, port, _ = alone
    client = await told(alone, "broke 60")
    await closed(client)
    client = await Client.open(port, "model=scripted")
    await client.send("response.create")
    done = (await client.until("response.done"))["response"]
    assert done["status"] == "failed"
    assert done["status_details"]["error"]["code"] == "insufficient_quota"
    await client.close()


def test_the_pitch_of_a_tone_that_was_coded_is_found() -> None:
    said = words(1250, 200)
    assert pitch_hz(to_linear(said, "pcmu").tobytes(), 8_000) == 1250
    assert encode(to_linear(said, "pcmu"), "pcmu") == said
