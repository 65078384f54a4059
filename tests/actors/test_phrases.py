"""Recordings of fixed phrases: made by a real engine, found for a call, played in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from actors.assignment import ProviderConfig
from actors.audio import to_linear
from actors.phrase_files import recordings, write
from actors.phrases import make, sound
from actors.settings import Settings
from cluster.cli import app
from reception.call.phrases import Recorded, file_name, fixed
from reception.errors import Unavailable
from reception.media.codecs import AudioFormat
from reception.money.savings.levels import Level
from reception.provider.base import DialPlan
from tests.actors.stack import MS_PER_CHAR, Caller, Stack
from tests.actors.test_agent import House
from tests.fakes.voice import FakeRecognizer, FakeSynthesizer, speech
from tests.unit.call.example import PHRASES, PROFILE, SPEC
from voice.interfaces import Question, Say
from voice.server import EngineConfig, EngineServer


class Parrot:
    """Says what it is to say exactly; the first few times something else."""

    def __init__(self, wrong: int = 0) -> None:
        self.wrong, self.asked = wrong, 0

    async def answer(self, question: Question) -> AsyncIterator[Say]:
        self.asked += 1
        yield Say(question.exactly if self.asked > self.wrong else "Certainly!")


async def engine(brain: Parrot) -> tuple[EngineServer, DialPlan]:
    server = EngineServer(EngineConfig(), FakeRecognizer(), FakeSynthesizer(), brain)
    url = f"http://127.0.0.1:{await server.start()}/v1"
    return server, DialPlan("embedded", url, "embedded", "pcmu")


async def test_the_model_says_it_and_is_asked_again_if_it_says_more() -> None:
    brain = Parrot(wrong=2)
    server, plan = await engine(brain)
    audio = await make(plan, PROFILE, "", PHRASES.goodbye)
    assert brain.asked == 3
    assert len(audio) == 48 * 50 * len(PHRASES.goodbye)  # FakeSynthesizer's 50 ms a character
    brain.wrong = 100
    with pytest.raises(Unavailable, match="the model said 'Certainly!'"):
        await make(plan, PROFILE, "", PHRASES.goodbye)
    await server.stop()
    with pytest.raises(Unavailable):
        await make(plan, PROFILE, "", PHRASES.goodbye)


def test_a_recording_is_found_by_provider_voice_and_words(tmp_path: Path) -> None:
    path = tmp_path / "deep" / file_name("openai", "marin", PHRASES.greeting)
    write(path, speech(500))
    folder = str(path.parent)
    found = {PHRASES.greeting: Recorded(str(path), 500)}
    assert recordings(folder, "openai", "marin", PROFILE) == found
    assert recordings(folder, "openai", "", replace(PROFILE, voice="marin")) == found
    assert recordings(folder, "openai", "cedar", PROFILE) == {}
    assert recordings(folder, "embedded", "marin", PROFILE) == {}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "leg", [AudioFormat("pcmu", 8_000), AudioFormat("l16", 16_000), AudioFormat("l16", 24_000)]
)
def test_it_sounds_the_same_in_every_legs_format(tmp_path: Path, leg: AudioFormat) -> None:
    path = tmp_path / "p.wav"
    write(path, speech(500))
    samples = to_linear(sound(str(path), leg), leg.name)
    assert len(samples) == pytest.approx(leg.rate_hz * 0.5, abs=leg.rate_hz * 0.041)
    assert np.abs(samples).max() == pytest.approx(9_000, rel=0.1)


@pytest.mark.parametrize(("level", "there"), [(Level.OFF, False), (Level.QUALITY, True)])
def test_a_call_is_given_them_from_quality_on(tmp_path: Path, level: Level, there: bool) -> None:
    assigner = House(tmp_path, 1).agent._assigner
    assigner._config = replace(assigner._config, phrases_path=str(tmp_path))
    assigner.provider = ProviderConfig("openai", "", "m", "marin", level)
    write(tmp_path / file_name("openai", "marin", PHRASES.greeting), speech(500))
    given = assigner.assignment(SPEC, PROFILE, "w0")
    assert list(given.phrases) == ([PHRASES.greeting] if there else [])


def test_the_command_makes_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, brain = CliRunner(), Parrot()
    monkeypatch.setenv("REALTIME_PHRASES_PATH", str(tmp_path))
    refused = runner.invoke(app, ["phrases", "make"])
    assert refused.exit_code == 1
    assert "REALTIME_PROVIDER_BASE_URL is empty" in refused.output

    async def run(*arguments: str) -> str:
        server, plan = await engine(brain)
        monkeypatch.setenv("REALTIME_PROVIDER_BASE_URL", plan.base_url)
        told = await asyncio.to_thread(runner.invoke, app, ["phrases", "make", *arguments])
        await server.stop()
        assert told.exit_code == 0, told.output
        return told.output

    asyncio.run(run())
    made = len(list(tmp_path.glob("*.wav")))
    assert made == brain.asked >= 7 + 5
    assert "0 recordings made" in asyncio.run(run())
    assert brain.asked == made
    asyncio.run(run("--again", "--profile", "harbour-lane"))
    assert brain.asked == 2 * made


async def test_a_call_whose_words_are_all_recorded_asks_the_model_for_nothing(
    tmp_path: Path,
    sqlite_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brain = Parrot()
    for text in fixed(PROFILE):
        name = file_name("embedded", "", text)
        write(tmp_path / "phrases" / name, speech(MS_PER_CHAR * len(text)))
    limits = replace(PROFILE.limits, prompt_after_s=0.5, end_after_s=0.5)
    profile = replace(PROFILE, limits=limits)

    async def silent(caller: Caller) -> None:
        while not caller.over:
            await caller.until_answered(5)

    async with Stack(tmp_path, monkeypatch, settings_for(sqlite_url), brain, profile) as stack:
        stack.phrases = recordings(str(tmp_path / "phrases"), "embedded", "", profile)
        record, caller = await stack.call("c", silent)
        assert await stack.cost.check() == []
    assert record.end_reason == "caller_silent"
    wanted = [PHRASES.greeting, PHRASES.still_there, PHRASES.silent_goodbye]
    assert [said.text for said in record.transcript] == wanted
    assert list(caller.said.values()) == wanted
    assert list(caller.audio) == ["phrase_1", "phrase_2", "phrase_3"]
    for text, audio_bytes in zip(wanted, caller.audio.values(), strict=True):
        assert audio_bytes >= 8 * MS_PER_CHAR * len(text)
    assert (brain.asked, record.cost_micros) == (0, 0)
    assert record.stats["saved_micros"] == record.stats["saved_phrases_micros"] > 0
