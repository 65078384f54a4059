"""Answers that come as text and are spoken here: real links, worker, session, ledger, a
provider that makes no sound, and a synthesizer at its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from actors.settings import Settings
from reception.call.phrases import Recorded, fixed
from reception.media.speech import speech_ms
from reception.money.savings.levels import Level
from reception.provider.base import Usage
from reception.speech_frames import Head
from tests.actors.stack import MS_PER_CHAR, Caller, Stack
from tests.unit.call.example import PHRASES, PROFILE
from tests.waiting import until
from voice.interfaces import ENGINE_RATE_HZ, CallTool, Question, Say
from voice.speech import wire
from voice.speech.synthesizer import SynthesizerActor

SENTENCES = (
    "We are open.",
    "Until five in the afternoon.",
    "Please come and see us at the harbour.",
)
AT_LENGTH = (*SENTENCES, *["And then there is more to be said about that."] * 20)  # 20 s
MINI, FULL = "gpt-realtime-2.1-mini", "gpt-realtime-2.1"


class Teller:
    """Answers in these sentences; to a second question with one word."""

    def __init__(self, sentences: Sequence[str] = SENTENCES) -> None:
        self.read: list[list[tuple[str, str]]] = []
        self._sentences = sentences

    async def answer(self, question: Question) -> AsyncIterator[Say | CallTool]:
        turns = [(turn.kind, turn.text) for turn in question.turns]
        self.read.append(turns)
        if question.exactly:
            yield Say(question.exactly)
        elif [kind for kind, _ in turns].count("user") > 1:
            yield Say("Yes.")
        else:
            for sentence in self._sentences:
                yield Say(sentence)
                await asyncio.sleep(0.02)


async def tone(head: Head, sound: bytes) -> AsyncIterator[tuple[Head, bytes]]:
    """MS_PER_CHAR of a tone for each character, in pieces of 100 ms, at once."""
    del sound
    whole = b"\x10\x10" * (ENGINE_RATE_HZ * MS_PER_CHAR * len(head["text"]) // 1000)
    for at in range(0, len(whole), 4_800):
        yield {}, whole[at : at + 4_800]


@asynccontextmanager
async def spoken_at(path: Path) -> AsyncIterator[None]:
    server = await wire.serve(str(path), tone)
    yield
    server.close()
    await server.wait_closed()


Make = Callable[[Teller], Stack]


@pytest.fixture
def make(
    tmp_path: Path,
    database_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> Make:
    def build(brain: Teller) -> Stack:
        stack = Stack(tmp_path, monkeypatch, settings_for(database_url), brain)
        stack.level, stack.synthesizer = Level.ECONOMY, str(tmp_path / "speech.sock")
        stack.model, stack.full_model = MINI, FULL
        stack.phrases = {text: Recorded("", round(speech_ms(len(text)))) for text in fixed(PROFILE)}
        return stack

    return build


def heard_ms(caller: Caller, item: str) -> float:
    return caller.audio.get(item, 0) / 8


def answers(stack: Stack) -> list[Usage]:
    return [usage for _, usage in stack.billed().values()]


async def asks_once(caller: Caller) -> None:
    await caller.until_answered(20)  # the greeting
    caller.ask()
    await caller.until_answered(20)
    caller.hang_up()


async def test_text_is_heard_as_sound_and_billed_as_text(make: Make, tmp_path: Path) -> None:
    async with spoken_at(tmp_path / "speech.sock"), make(Teller()) as stack:
        record, caller = await stack.call("c", asks_once)
        assert await stack.cost.check() == []
        assert stack.invoiced() == {name: usage for name, (_, usage) in stack.billed().items()}
        [usage] = answers(stack)  # the greeting was made here
    assert (usage.output_audio, record.end_reason) == (0, "caller_hangup")
    assert usage.output_text >= sum(map(len, SENTENCES)) // 4
    said = [each for each in record.transcript if each.who == "reception"]
    assert [each.text for each in said] == [PHRASES.greeting, " ".join(SENTENCES)]
    assert not any(each.interrupted for each in said)
    for each in said:
        pieces = [each.text] if each.text == PHRASES.greeting else SENTENCES
        whole_ms = MS_PER_CHAR * sum(map(len, pieces))
        assert heard_ms(caller, each.item_id) == pytest.approx(whole_ms, abs=60 * len(pieces))
    assert record.stats["saved_text_micros"] > 0
    assert record.stats["saved_phrases_micros"] > 0
    assert record.stats["usage_differs"] == 0


async def cuts_in(caller: Caller) -> None:
    await caller.until_answered(20)
    caller.ask()
    answer = await until_heard(caller, 500)
    await caller.ask_in_time()
    while answer == list(caller.said)[-1]:
        await caller.until_answered(20)
    caller.hang_up()


async def until_heard(caller: Caller, ms: float) -> str:
    """The answer of which so much was sent."""
    await until(
        lambda: list(caller.audio.values()), lambda heard: len(heard) > 1 and heard[-1] >= 8 * ms
    )
    return list(caller.audio)[-1]


async def test_a_caller_who_cuts_in_has_heard_what_the_provider_then_knows(
    make: Make, tmp_path: Path
) -> None:
    brain = Teller(AT_LENGTH)
    async with spoken_at(tmp_path / "speech.sock"), make(brain) as stack:
        record, caller = await stack.call("c", cuts_in)
        assert await stack.cost.check() == []
        assert all(usage.output_audio == 0 for usage in answers(stack))
    cut = next(each for each in record.transcript if each.interrupted)
    whole = " ".join(AT_LENGTH)
    assert cut.text.endswith(" …")
    assert SENTENCES[0] in cut.text
    assert whole.startswith(cut.text.removesuffix(" …"))
    assert cut.heard_ms is not None
    assert len(cut.text) - 2 <= cut.heard_ms / MS_PER_CHAR + 2
    assert heard_ms(caller, cut.item_id) < MS_PER_CHAR * len(whole) - 200
    [*_, last] = brain.read
    assert [text for kind, text in last if kind == "assistant"] == [PHRASES.greeting, cut.text]
    assert record.interruptions == 1


async def waits_for_the_goodbye(caller: Caller) -> None:
    await caller.until_answered(20)
    caller.ask()
    await until_heard(caller, 200)


async def test_last_words_are_spoken_to_their_end(make: Make, tmp_path: Path) -> None:
    quick = replace(PROFILE.limits, max_call_s=2.5)
    async with spoken_at(tmp_path / "speech.sock"), make(Teller()) as stack:
        stack.profile = replace(stack.profile, limits=quick)
        record, caller = await stack.call("c", waits_for_the_goodbye)
    assert record.end_reason == "max_duration"
    last = record.transcript[-1]
    assert last.text == PHRASES.time_is_up
    assert heard_ms(caller, last.item_id) == pytest.approx(MS_PER_CHAR * len(last.text), abs=60)


async def test_a_synthesizer_that_is_late_is_waited_for(make: Make, tmp_path: Path) -> None:
    async def late(caller: Caller) -> None:
        await asyncio.sleep(0.3)
        async with spoken_at(tmp_path / "speech.sock"):
            await asks_once(caller)

    async with make(Teller()) as stack:
        record, caller = await stack.call("c", late)
    texts = [each.text for each in record.transcript if each.who == "reception"]
    assert texts == [PHRASES.greeting, " ".join(SENTENCES)]
    assert all(caller.audio.values())


async def test_without_a_synthesizer_the_provider_speaks(make: Make) -> None:
    async with make(Teller()) as stack:
        record, caller = await stack.call("c", asks_once)
        assert await stack.cost.check() == []
        assert all(usage.output_audio for usage in answers(stack))
    said = [each for each in record.transcript if each.who == "reception"]
    assert [each.text for each in said] == [PHRASES.greeting, " ".join(SENTENCES)]
    for each in said:
        whole_ms = MS_PER_CHAR * len(each.text)
        assert heard_ms(caller, each.item_id) == pytest.approx(whole_ms, rel=0.2)
    assert record.end_reason == "caller_hangup"


async def test_who_cuts_into_the_providers_voice_has_heard_a_part_of_it(
    make: Make, tmp_path: Path
) -> None:
    brain = Teller(AT_LENGTH)
    async with make(brain) as stack:
        record, caller = await stack.call("c", cuts_in)
        assert await stack.cost.check() == []
    cut = next(each for each in record.transcript if each.interrupted)
    assert cut.text.endswith(" …")
    assert heard_ms(caller, cut.item_id) < MS_PER_CHAR * len(" ".join(AT_LENGTH)) - 200
    assert record.interruptions == 1


async def test_a_synthesizer_that_is_back_speaks_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reception.call.talk.voice.AGAIN_S", 0.5)

    async def asks_twice(caller: Caller) -> None:
        await caller.until_answered(20)  # the greeting, by the provider
        async with spoken_at(tmp_path / "speech.sock"):
            await asyncio.sleep(0.6)
            caller.ask()
            await caller.until_answered(20)
            caller.hang_up()

    async with make(Teller()) as stack:
        record, caller = await stack.call("c", asks_twice)
        assert await stack.cost.check() == []
        assert sorted(usage.output_audio > 0 for usage in answers(stack)) == [False, True]
    said = [each.item_id for each in record.transcript if each.who == "reception"]
    assert len(said) == 2
    assert all(heard_ms(caller, each) > 100 for each in said)


async def test_pico_speaks(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("py_nanotts", reason="the extra `embedded` is not installed")
    voice = SynthesizerActor(str(tmp_path / "speech.sock"))
    await voice.start()
    try:
        async with make(Teller()) as stack:
            record, caller = await stack.call("c", asks_once)
    finally:
        await voice.stop()
    answer = record.transcript[-1]
    assert answer.text == " ".join(SENTENCES)
    assert heard_ms(caller, answer.item_id) == pytest.approx(speech_ms(len(answer.text)), rel=0.5)
