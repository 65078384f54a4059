"""Turns of the caller that the worker finds itself: what the provider and the session are told."""

from typing import Any

import pytest

from actors.caller_leg import CallerLeg
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.media.adaptation import PLANS, Level
from reception.media.hearing import Hearing
from reception.media.leg import LegConfig
from reception.provider import codec_for
from reception.provider.base import SpeechStarted, SpeechStopped
from tests.actors.worker.call import LONG, words
from tests.fakes.provider import speak
from tests.waiting import patience

TURNS: dict[str, Any] = {"turn_ms": 200, "silence_ms": (100, 0)}
QUIET = [b"\xff" * 160] * 15


def say(call, frames):
    for frame in frames:
        call.say(audio=rv.Audio(payload=frame))


async def told(provider, kind):
    """What the provider is told until this."""
    kinds: list[str] = []
    async with patience():
        while not kinds or kinds[-1] != kind:
            kinds.append((await provider.received.get())["type"])
    return kinds


async def test_a_turn_is_committed_once_the_session_knows_of_it(connect, provider):
    call = await connect(**TURNS)
    say(call, [*QUIET, *words(400), *QUIET])
    decode = codec_for("embedded").decode
    started = decode(await call.from_worker("provider_event"))
    stopped = decode(await call.from_worker("provider_event"))
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert started.item_id == stopped.item_id
    assert "input_audio_buffer.clear" not in await told(provider, "input_audio_buffer.commit")
    sent_ms = len(provider.audio) / 8
    assert stopped.audio_end_ms - started.audio_start_ms == sent_ms
    assert 600 <= sent_ms <= 760  # 100 before it, 400 of it, 200 that end it


async def test_what_is_too_short_to_cut_an_answer_is_no_turn_either(connect, provider):
    call = await connect(**TURNS, hearing=Hearing(min_speech_ms=500))
    await speak(call.connection, "i1", b"\x60" * len(LONG))
    await call.playout(lk.Playout.STARTED)
    say(call, [*words(300), *QUIET])
    assert "input_audio_buffer.commit" not in await told(provider, "input_audio_buffer.clear")
    say(call, [*words(900), *QUIET])
    await call.to_caller("clear_audio")
    await told(provider, "input_audio_buffer.commit")


async def test_who_is_not_listened_to_has_no_turn(connect, provider):
    call = await connect(**TURNS)
    say(call, words(400))
    await call.from_worker("provider_event")
    call.session.send(lk.SessionToWorker(listen=lk.Listen(on=False)))
    await told(provider, "input_audio_buffer.clear")
    say(call, QUIET)
    call.session.send(lk.SessionToWorker(listen=lk.Listen(on=True)))
    await told(provider, "input_audio_buffer.clear")
    say(call, [*words(400), *QUIET])
    kinds = await told(provider, "input_audio_buffer.commit")
    assert kinds.count("input_audio_buffer.commit") == 1


@pytest.mark.parametrize("level", list(Level))
def test_turns_are_found_whatever_the_load(level):
    leg = CallerLeg(LegConfig("pcmu", 8_000, 20, sends_marks=False, **TURNS), PLANS[level])
    found = []
    for number, frame in enumerate([*QUIET, *words(400), *QUIET], start=1):
        heard = leg.receive(frame, number, number * 0.02, speaking=False)
        found += ["began"] * heard.began + ["ended"] * heard.ended
    assert found == ["began", "ended"]
