"""Which of a caller's audio is sent to the provider."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.media.leg import LegConfig
from reception.media.silence import SilenceGate, sent_around
from reception.money.savings.levels import LEVELS, Level
from reception.provider.base import TurnDetection

BEFORE_MS, AFTER_MS, FRAME_MS = 300, 800, 20


def passed(gate: SilenceGate, voices: str, first: int = 0) -> list[int]:
    """Numbers of the frames that are sent; voices: "v" for one with voice, "." without."""
    sent: list[int] = []
    for number, voice in enumerate(voices, first):
        audio = number.to_bytes(4, "big")
        for each in gate.feed(audio, FRAME_MS, voice=voice == "v"):
            sent.append(int.from_bytes(each, "big"))
    return sent


def gate() -> SilenceGate:
    return SilenceGate(BEFORE_MS, AFTER_MS)


def test_silence_is_sent_for_a_while_and_then_no_more() -> None:
    assert passed(gate(), "." * 100) == list(range(40))


def test_words_come_with_the_silence_before_and_after_them_in_order() -> None:
    found = passed(gate(), "." * 100 + "vv" + "." * 100)
    assert found == [*range(40), *range(100 - 15, 102 + 40)]


def test_pauses_within_words_are_sent() -> None:
    assert passed(gate(), "v" + "." * 40 + "v") == list(range(42))
    assert passed(gate(), "v" + "." * 55 + "v") == list(range(57))  # what was kept closes it
    assert passed(gate(), "v" + "." * 56 + "v") == [*range(41), *range(42, 58)]


@pytest.mark.parametrize("name", ["blind", "provider_hears"])
def test_all_is_sent_where_voice_is_not_known_or_the_provider_hears_some(name: str) -> None:
    one = gate()
    passed(one, "." * 100)
    setattr(one, name, True)
    assert passed(one, "." * 100, 100) == list(range(85, 200))
    setattr(one, name, False)
    assert passed(one, "." * 100, 200) == list(range(200, 240))


@given(st.text("v.", max_size=300), st.integers(0, 25), st.integers(0, 50))
def test_each_word_is_sent_once_in_order_with_what_is_around_it(
    voices: str, before: int, after: int
) -> None:
    found = passed(SilenceGate(before * FRAME_MS, after * FRAME_MS), voices)
    assert found == sorted(set(found))
    at = [number for number, voice in enumerate(voices) if voice == "v"]
    wanted = {
        number
        for word in at
        for number in range(max(0, word - before), min(len(voices), word + after + 1))
    }
    assert wanted <= set(found)


def test_the_provider_gets_the_silence_that_ends_a_turn_and_more() -> None:
    quality, turns = LEVELS[Level.QUALITY], TurnDetection()
    assert sent_around(turns, quality) == (300, 800)
    slow = replace(turns, prefix_padding_ms=500, silence_duration_ms=1_200)
    assert sent_around(slow, quality) == (500, 1_500)


def test_all_is_sent_at_level_off_and_to_semantic_turn_detection() -> None:
    assert sent_around(TurnDetection(), LEVELS[Level.OFF]) == (0, 0)
    local = TurnDetection(kind="local", prefix_padding_ms=50)
    assert sent_around(local, LEVELS[Level.OFF]) == (100, 0)  # else it is of the next turn
    semantic = TurnDetection(kind="semantic_vad")
    assert sent_around(semantic, LEVELS[Level.QUALITY]) == (0, 0)


def test_a_leg_is_told_of_it_over_json() -> None:
    fields = {"codec": "pcmu", "rate_hz": 8_000, "ptime_ms": 20, "sends_marks": False}
    given = {**fields, "hearing": {}, "silence_ms": [300, 800]}
    assert LegConfig.of(given).silence_ms == (300, 800)
