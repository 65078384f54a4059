"""Answers that come as text: what is spoken, what is held back, what the provider is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import actors.speech
from actors.text_answers import TextAnswers
from reception.media.adaptation import Resampler
from reception.media.codecs import AudioFormat
from reception.media.leg import Speaks
from reception.media.playout import CutItem
from reception.provider.base import (
    AddText,
    AssistantTranscript,
    DeleteItem,
    ProviderCommand,
    ResponseDone,
)
from reception.speech_frames import Head
from tests.waiting import patience
from voice.interfaces import ENGINE_RATE_HZ
from voice.speech import wire

DONE = ResponseDone("r", "completed")
CANCELLED = ResponseDone("r", "cancelled", "turn_detected")


class House:
    """A synthesizer of 10 ms a character that waits for the test, and what came of it."""

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self.may_speak = asyncio.Event()
        self.may_speak.set()
        self.refusals = 0
        self.stands_still = False
        self.audio: dict[str, int] = {}  # ms, by item
        self.complete: list[str] = []
        self.mute: list[str] = []
        self.over: list[bytes] = []
        self.told: list[ProviderCommand] = []
        self.path = str(path)
        self.answers = TextAnswers(
            Speaks(self.path, "marin"), AudioFormat("pcmu", 8_000), Resampler.HIGH,
            self._take, self._finish, self.over.append, self.told.append,
        )  # fmt: skip

    def _take(self, item_id: str, audio: bytes) -> None:
        self.audio[item_id] = self.audio.get(item_id, 0) + len(audio) // 8

    def _finish(self, item_id: str, came: bool) -> None:
        (self.complete if came else self.mute).append(item_id)

    async def speak(self, head: Head, sound: bytes) -> AsyncIterator[tuple[Head, bytes]]:
        del sound
        self.asked.append(head["text"])
        if self.refusals:
            self.refusals -= 1
            raise OSError
        if self.stands_still:
            await asyncio.Event().wait()
        whole = b"\x10\x10" * (ENGINE_RATE_HZ * len(head["text"]) // 100)
        yield {}, whole[: len(whole) // 2]
        await self.may_speak.wait()
        yield {}, whole[len(whole) // 2 :]

    def say(self, text: str, item_id: str = "i", *, final: bool = False) -> None:
        self.answers.words(AssistantTranscript("r", item_id, text, final))

    async def until(self, truth: Any) -> None:
        async with patience():
            while not truth():
                await asyncio.sleep(0.005)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "s.sock")
    server = await wire.serve(house.path, house.speak)
    yield house
    house.answers.close()
    house.may_speak.set()
    server.close()
    await server.wait_closed()


async def test_the_first_sentence_is_spoken_while_the_rest_comes(house: House) -> None:
    house.say("We are open. Until")
    await house.until(lambda: house.audio.get("i", 0) >= 120)
    assert (house.asked, house.complete) == (["We are open."], [])
    house.say(" five.")
    house.answers.done(DONE, b"done")
    assert (house.over, house.answers.busy) == ([], True)
    await house.answers.idle()
    assert house.asked == ["We are open.", "Until five."]
    assert house.audio["i"] == pytest.approx(230, abs=90)  # what the resampler keeps back
    assert (house.complete, house.over) == (["i"], [b"done"])
    house.answers.done(DONE, b"next")
    assert house.over == [b"done", b"next"]


async def test_items_are_spoken_in_order(house: House) -> None:
    house.say("One", "i")
    house.say("", "i", final=True)
    house.answers.read("phrase_1", "Two. Three.")
    await house.answers.idle()
    assert (house.asked, house.complete) == (["One", "Two.", "Three."], ["i", "phrase_1"])


async def test_of_what_was_cut_the_provider_keeps_what_was_heard(house: House) -> None:
    house.answers.began()
    house.may_speak.clear()
    house.say("We are open. Until five. ")
    await house.until(lambda: "i" in house.audio)
    house.say("And so on. ", "j")
    cut = house.answers.stop([CutItem("i", 0, 250)])
    assert cut == [CutItem("i", 0, 250), CutItem("j", 0, 0)]
    assert [house.answers.heard(item) for item in cut] == ["We …", ""]
    assert house.told == []  # what is being made can't be taken away
    house.say("More. And more. ")
    house.answers.done(CANCELLED, b"done")
    assert house.told == [DeleteItem("i"), AddText("assistant", "We …"), DeleteItem("j")]
    assert (house.over, house.answers.busy) == ([b"done"], False)
    house.may_speak.set()
    house.answers.read("k", "Yes.")
    await house.answers.idle()
    assert house.asked == ["We are open.", "Yes."]
    assert house.answers.heard(CutItem("k", 0, 1_000)) == "Yes."
    assert len(house.told) == 3  # all of it was heard


async def test_an_end_that_was_held_back_is_told_as_the_caller_cuts_in(house: House) -> None:
    house.may_speak.clear()
    house.say("We are open.")
    house.answers.done(DONE, b"done")
    await house.until(lambda: house.asked)
    assert house.answers.stop([]) == [CutItem("i", 0, 0)]
    assert house.over == [b"done"]
    assert house.answers.heard(CutItem("i", 0, 0)) == ""
    assert house.told == [DeleteItem("i")]


async def test_of_a_cancelled_answer_nothing_more_is_said(house: House) -> None:
    house.say("We are open. Until five. And")
    house.answers.done(CANCELLED, b"done")
    assert (house.over, house.answers.busy) == ([b"done"], False)
    assert house.answers.stop([]) == []


async def test_of_a_session_that_is_lost_what_came_is_said(house: House) -> None:
    house.answers.began()
    house.say("We are open. Until")
    house.answers.heard(CutItem("j", 0, 0))
    house.answers.lost()
    await house.answers.idle()
    assert (house.asked, house.complete) == (["We are open.", "Until"], ["i"])
    assert house.told == []


async def test_a_synthesizer_that_fails_is_asked_again_unless_it_had_begun(house: House) -> None:
    house.refusals = 1
    house.answers.read("i", "One.")
    await house.answers.idle()
    assert house.asked == ["One.", "One."]
    assert house.audio["i"] > 0


async def test_what_can_not_be_spoken_is_told(house: House) -> None:
    house.refusals = 4
    house.answers.read("i", "One.")
    house.answers.read("j", "Two.")  # is tried once
    house.answers.read("k", "Three.")
    house.answers.read("l", "…")  # nothing to speak
    await house.answers.idle()
    assert house.asked == ["One."] * 3 + ["Two.", "Three."]
    assert (house.mute, house.complete) == (["i", "j"], ["k", "l"])
    assert house.answers.heard(CutItem("i", 0, 0)) == ""


async def test_a_synthesizer_that_stands_still_is_given_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors.speech, "SILENT_S", 0.05)
    house.may_speak.clear()
    house.answers.read("i", "One.")
    await house.answers.idle()  # in the middle of its words
    assert (house.complete, house.asked, house.audio["i"] > 0) == (["i"], ["One."], True)
    house.stands_still = True
    house.answers.read("j", "Two.")
    await house.answers.idle()
    assert (house.mute, house.asked[1:]) == (["j"], ["Two."] * 3)


async def test_what_nobody_can_say_any_more_is_left_out(house: House) -> None:
    house.may_speak.clear()
    for number in range(251):
        house.answers.read(f"i{number}", "One.")
    assert not house.answers.busy
    await asyncio.sleep(0)
    assert house.audio == {}


async def test_what_comes_of_a_sound_may_be_that_all_is_cut(house: House) -> None:
    def cut(_: str, came: bool) -> None:
        assert came
        house.answers.stop([])

    house.answers._on_complete = cut
    house.answers.read("i", "One.")
    house.answers.read("j", "Two.")
    await house.until(lambda: not house.answers.busy)
    house.answers.read("k", "Three.")
    await house.until(lambda: "Three." in house.asked)
    assert "Two." not in house.asked
