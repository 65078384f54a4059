"""Answers as text whose synthesizer, a real process, is SIGKILLed."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from actors.settings import Settings
from reception.call.phrases import Recorded, fixed
from reception.media.speech import speech_ms
from reception.money.savings.levels import Level
from tests.actors.stack import Caller, Stack
from tests.actors.test_economy import FULL, MINI, SENTENCES, Teller, answers, heard_ms
from tests.unit.call.example import PHRASES, PROFILE
from tests.waiting import patience

pytest.importorskip("py_nanotts", reason="the extra `embedded` is not installed")

WORDS = " ".join(SENTENCES)
SERVE = """
import asyncio, sys
from voice.speech.synthesizer import SynthesizerActor

async def main():
    actor = SynthesizerActor(sys.argv[1])
    print(await actor.start(), flush=True)
    await actor.until_stopped()

asyncio.run(main())
"""


class Synthesizers:
    """Processes that speak at one socket, the last one for all of them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.running: list[Process] = []

    async def start(self) -> Process:
        """One more, which speaks by then."""
        command = (sys.executable, "-c", SERVE, self._path)
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        self.running.append(process)
        assert process.stdout is not None
        async with patience():
            assert await process.stdout.readline()
        return process

    async def kill(self, process: Process) -> None:
        process.kill()
        await process.wait()
        self.running.remove(process)


@asynccontextmanager
async def synthesizers(path: str) -> AsyncIterator[Synthesizers]:
    made = Synthesizers(path)
    try:
        yield made
    finally:
        for process in list(made.running):
            await made.kill(process)


@pytest.fixture
def stack(
    tmp_path: Path,
    sqlite_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> Stack:
    made = Stack(tmp_path, monkeypatch, settings_for(sqlite_url), Teller())
    made.level, made.synthesizer = Level.ECONOMY, str(tmp_path / "speech.sock")
    made.model, made.full_model = MINI, FULL
    patience = replace(PROFILE.limits, answer_s=60.0)  # a process takes seconds to start
    made.profile = replace(made.profile, limits=patience)
    made.phrases = {text: Recorded("", round(speech_ms(len(text)))) for text in fixed(PROFILE)}
    return made


async def until_told(caller: Caller, text: str) -> str:
    """The item whose words the caller's side was told, all of them."""
    async with patience():
        while not (found := [item for item, words in caller.said.items() if words == text]):
            await asyncio.sleep(0.01)
    return found[0]


async def test_an_answer_that_it_died_in_is_spoken_again_by_the_next_one(stack: Stack) -> None:
    async with synthesizers(stack.synthesizer) as voices, stack:
        first = await voices.start()

        async def behave(caller: Caller) -> None:
            await caller.until_answered(60)  # the greeting
            first.send_signal(signal.SIGSTOP)  # it has the answer's words, and says nothing
            caller.ask()
            item = await until_told(caller, WORDS)
            await voices.start()
            assert heard_ms(caller, item) == 0
            await voices.kill(first)
            await caller.until_answered(60)
            caller.ask()
            await caller.until_answered(60)
            caller.hang_up()

        record, caller = await stack.call("c", behave)
        assert await stack.cost.check() == []
        assert [usage.output_audio for usage in answers(stack)] == [0, 0]
    said = [each for each in record.transcript if each.who == "reception"]
    assert [each.text for each in said] == [PHRASES.greeting, WORDS, "Yes."]
    assert all(heard_ms(caller, each.item_id) > 100 for each in said)
    assert heard_ms(caller, said[1].item_id) == pytest.approx(speech_ms(len(WORDS)), rel=0.5)
    assert record.end_reason == "caller_hangup"


async def test_while_it_stays_away_the_provider_speaks_and_then_it_does_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reception.call.talk.voice.AGAIN_S", 1.0)
    async with synthesizers(stack.synthesizer) as voices, stack:
        first = await voices.start()

        async def behave(caller: Caller) -> None:
            await caller.until_answered(60)  # the greeting
            await voices.kill(first)
            caller.ask()
            await caller.until_answered(60)
            await voices.start()
            caller.ask()
            await caller.until_answered(60)
            caller.hang_up()

        record, caller = await stack.call("c", behave)
        assert await stack.cost.check() == []
        assert len(answers(stack)) == 3  # written in vain, said, written
        [as_sound] = [usage for usage in answers(stack) if usage.output_audio]
        assert as_sound.output_text > len("Yes.")
    said = [each for each in record.transcript if each.who == "reception"]
    assert [each.text for each in said] == [PHRASES.greeting, WORDS, "Yes."]
    assert all(heard_ms(caller, each.item_id) > 100 for each in said)
    assert record.end_reason == "caller_hangup"
