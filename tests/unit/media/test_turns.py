"""The caller's turns as the audio worker finds them."""

from __future__ import annotations

import json

import pytest

from reception.media.turns import LocalTurns
from reception.provider import base as p
from reception.provider.realtime import RealtimeCodec

CODEC = RealtimeCodec()


def turn(turns: LocalTurns, ms: float) -> str:
    """One is found, and taken; its name."""
    started = turns.began()
    turns.sent(ms)
    stopped = turns.ended()
    turns.taken()
    assert started.item_id == stopped.item_id
    assert stopped.audio_end_ms - started.audio_start_ms == ms
    return started.item_id


def hears(
    turns: LocalTurns, kind: str, **fields: object
) -> tuple[p.ProviderEvent, p.ProviderEvent]:
    """What the worker and the session take an event of the provider's for."""
    raw = json.dumps({"type": kind} | fields).encode()
    event, told = turns.named(CODEC.decode(raw), raw, CODEC)
    return event, CODEC.decode(told)


def test_each_turn_has_a_name_of_ours_and_where_it_is_in_what_was_sent() -> None:
    turns = LocalTurns(2)
    assert turn(turns, 900) == "turn_2_1"
    assert turns.began() == p.SpeechStarted("turn_2_2", 900)


def test_words_come_under_our_names() -> None:
    turns = LocalTurns(0)
    names = [turn(turns, 500), turn(turns, 700)]
    kind = "conversation.item.input_audio_transcription"
    for ours, theirs in zip(names, ("item_7", "item_8"), strict=True):
        told = hears(turns, "input_audio_buffer.committed", item_id=theirs)
        assert told == (p.AudioCommitted(ours, theirs),) * 2
    for ours, theirs in zip(names, ("item_7", "item_8"), strict=True):
        told = hears(turns, f"{kind}.delta", item_id=theirs, delta="He")
        assert told == (p.CallerTranscript(ours, "He", final=False),) * 2
        told = hears(turns, f"{kind}.completed", item_id=theirs, transcript="Hello.")
        assert told == (p.CallerTranscript(ours, "Hello.", final=True, bill_id=theirs),) * 2
    told = hears(turns, f"{kind}.failed", item_id="item_8", error={"code": "x"})
    assert told == (p.CallerTranscriptFailed("item_8", "x", ""),) * 2  # it was over


def test_words_that_are_not_understood_have_our_name_too() -> None:
    turns = LocalTurns(0)
    ours = turn(turns, 500)
    hears(turns, "input_audio_buffer.committed", item_id="i")
    kind = "conversation.item.input_audio_transcription.failed"
    told = hears(turns, kind, item_id="i", error={})
    assert told == (p.CallerTranscriptFailed(ours, "", "", "i"),) * 2
    assert not turns._names


def test_what_nobody_took_for_a_turn_keeps_its_name() -> None:
    told = hears(LocalTurns(0), "input_audio_buffer.committed", item_id="i")
    assert told == (p.AudioCommitted("i"),) * 2


def test_other_events_are_as_they_were() -> None:
    turns = LocalTurns(0)
    turn(turns, 500)
    event, told = hears(turns, "response.created", response={"id": "r"})
    assert event == told == p.ResponseStarted("r")


def test_another_session_knows_none_of_them() -> None:
    turns = LocalTurns(0)
    name = turn(turns, 500)
    turns.anew()
    hears(turns, "input_audio_buffer.committed", item_id="i")
    event, _ = hears(
        turns, "conversation.item.input_audio_transcription.completed", item_id="i", transcript=""
    )
    assert event == p.CallerTranscript("i", "", final=True)
    assert turns.began() == p.SpeechStarted("turn_0_2", 0)
    assert name == "turn_0_1"


def test_names_that_are_never_understood_are_bounded() -> None:
    turns = LocalTurns(0)
    for number in range(300):
        turn(turns, 10)
        hears(turns, "input_audio_buffer.committed", item_id=f"i{number}")
    assert len(turns._names) == 100


@pytest.mark.parametrize("event", [p.SpeechStarted("t", 20), p.SpeechStopped("t", 640)])
def test_a_session_reads_turns_as_if_the_provider_had_found_them(
    event: p.SpeechStarted | p.SpeechStopped,
) -> None:
    assert CODEC.decode(CODEC.said(event)) == event
