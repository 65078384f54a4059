"""Which faults come when, histories as lines, and how silence is measured."""

from __future__ import annotations

import pytest

from cluster.chaos import history as h
from cluster.chaos.faults import chosen
from cluster.chaos.schedule import EARLIEST_S, LATEST_S, parse_faults, schedule
from cluster.chaos.silence import added_silence_ms
from cluster.chaos.tones import VOICES, tone_of, voice_hz, words
from cluster.playback import FRAME_BYTES, SILENCE
from reception.errors import InvalidRequest
from voice.audio import decode
from voice.scripted import pitch_hz
from voice.vad import SpeechBegan, SpeechOver, VoiceActivity

KNOWN = ["session", "worker", "node_lost"]


def test_the_same_seed_makes_the_same_schedule() -> None:
    one, again, other = (schedule(KNOWN, 5, seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert one[0].rng().random() == again[0].rng().random() != one[1].rng().random()


def test_every_round_has_every_fault_once() -> None:
    tries = schedule(KNOWN, 4, 1)
    for number in range(4):
        around = tries[3 * number : 3 * number + 3]
        assert sorted(each.fault for each in around) == sorted(KNOWN)
        assert {each.number for each in around} == {number + 1}
    assert all(EARLIEST_S <= each.delay_s <= LATEST_S for each in tries)
    assert len({each.seed for each in tries}) == 12


@pytest.mark.parametrize("text", ["", "all", " "])
def test_no_name_means_every_fault(text: str) -> None:
    assert parse_faults(text, KNOWN) == KNOWN


def test_faults_are_named_once_each() -> None:
    assert parse_faults("worker, session,worker", KNOWN) == ["worker", "session"]


def test_an_unknown_fault_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(InvalidRequest, match=r"'quake', only session, worker, node_lost") as caught:
        parse_faults("session,quake", KNOWN)
    assert caught.value.field == "faults"


@pytest.mark.parametrize(
    ("text", "database", "has", "lacks"),
    [("", "sqlite", "gcs", "home_lost"), ("all", "postgresql", "home_lost", "gcs")],
)
def test_all_faults_are_those_that_the_database_is_for(
    text: str, database: str, has: str, lacks: str
) -> None:
    names = chosen(text, database)
    assert {has, "session"} <= set(names)
    assert lacks not in names
    assert chosen(f"{has},session", database) == [has, "session"]
    with pytest.raises(InvalidRequest, match=f"{lacks} needs the database"):
        chosen(f"session,{lacks}", database)


EVENTS: h.History = (
    h.Began("worker", 1, 2, 23.0),
    h.Offered("a", 850, True, 1.0),
    h.Accepted("a", "s-a", "n1", False, 1.5),
    h.Heard("a", 850, 50, 2.0, 3.0),
    h.NotRising("a", 4, 5, 2.5),
    h.Said("a", "tone 850", 2.0),
    h.Broke("a", "UNAVAILABLE", 2.1),
    h.NotTaken("a", "127.0.0.1:1", "UNAVAILABLE", 2.2),
    h.Summed("a", "caller_hangup", 9.0),
    h.Gone("a", "hung up", 9.0),
    h.Injected("process 7", ("a", "b"), 4.0, 6.0),
    h.Newcomer("127.0.0.1:7", "UNAVAILABLE", True, 0.5),
    h.Record("a", "s-a", "ended", "caller_hangup", 9.1),
    h.LeftLive("a", "s-a", "n1"),
    h.Account("a", "s-a", 0, 5, True),
    h.Used("s-a", "resp_1", "response", 3, 4, 5),
    h.Billed("sess_1", "resp_1", 3, 4, 3.0, True),
    h.Money(5, 6, 0, 100, 2.0),
    h.OnLease("n1", 2),
    h.Busy("n1", 0, 0, 0),
    h.Driver(1.5),
    h.LedgerFault("call s-a: 1 held more"),
)


def test_a_history_is_read_as_it_was_written() -> None:
    assert tuple(h.read(map(h.to_line, EVENTS))) == EVENTS
    assert {type(event) for event in EVENTS} == set(h.Event.__args__)


@pytest.mark.parametrize(
    "line", ["", "[]", "{}", '{"event": "Quake"}', '{"event": "Busy", "node_id": "n"}']
)
def test_a_line_that_is_no_event_is_named(line: str) -> None:
    with pytest.raises(InvalidRequest, match="line 2 is no event"):
        list(h.read([h.to_line(EVENTS[0]), line]))


def heard(*spans: tuple[float, float]) -> list[h.Heard]:
    return [h.Heard("a", 850, 1, from_s, to_s) for from_s, to_s in spans]


@pytest.mark.parametrize(
    ("spans", "silence_ms"),
    [
        ([(0, 10), (10, 20)], 0),  # no pause at all
        ([(0, 10), (10.4, 20)], 400),  # begins with the fault
        ([(0, 9.9), (10.3, 20)], 400),  # was on its way already
        ([(0, 4), (4.3, 10), (10.4, 20)], 100),  # less what is usual for the call
        ([(0, 4), (5, 10), (10.4, 20)], 0),  # shorter than what is usual
        ([(0, 13), (13.5, 14), (16, 20)], 2000),  # the longest counts
        ([(0, 16), (19, 20)], 0),  # begins too late to be the fault's
        ([(0, 11)], 9000),  # to the end
    ],
)
def test_silence_is_what_the_fault_added(
    spans: list[tuple[float, float]], silence_ms: float
) -> None:
    found = added_silence_ms(heard(*spans), injected_s=10.0, until_s=15.0, gone_s=20.0)
    assert found == pytest.approx(silence_ms)


@pytest.mark.parametrize("spans", [[], [(10.0, 12.0)]])
def test_who_heard_nothing_before_has_no_silence_added(spans: list[tuple[float, float]]) -> None:
    assert added_silence_ms(heard(*spans), 10.0, 15.0, 20.0) is None


# ------------------------------------------------------------------ voices


def test_every_voice_is_heard_as_speech_and_known_by_ear_and_provider() -> None:
    voices = {voice_hz(number) for number in range(VOICES)}
    assert len(voices) == VOICES
    for hz in voices:
        said = words(hz, 800)
        frames = {said[at : at + FRAME_BYTES] for at in range(0, len(said), FRAME_BYTES)}
        assert {tone_of(frame) for frame in frames} == {hz}
        line = SILENCE * 20 + said + SILENCE * 40
        ear = VoiceActivity(0.5, 500)
        for _ in range(4):  # what it takes for noise it learns
            found = ear.feed(decode(line, "pcmu"))
            assert [type(each) for each in found] == [SpeechBegan, SpeechOver]
            ear.feed(decode(SILENCE * 50, "pcmu"))
        linear = decode(SILENCE * 10 + said + SILENCE * 25, "pcmu").tobytes()
        assert pitch_hz(linear, 8_000) == hz


def test_what_is_no_clear_tone_is_nobodys() -> None:
    one, other = words(850, 20), words(1500, 20)
    mixed = one[: FRAME_BYTES // 2] + other[FRAME_BYTES // 2 :]
    assert tone_of(mixed) == 0
    assert tone_of(SILENCE) == 0
    assert pitch_hz(b"\0\0" * 800, 8_000) == 0
    assert pitch_hz(b"\1\0", 8_000) == 0
