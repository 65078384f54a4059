"""Echo told from the caller, on lines in levels; every clock is literal."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reception.media.echo import SILENT_DBOV, EchoGuard, Envelope
from tests.unit.media import line

BEGAN_S = 50.0


def guard_after(played, heard, *, at=0, guard=None, frame_ms=20):
    """A guard that was told of all these frames, and which of the heard it could not explain."""
    guard = guard or EchoGuard()
    unexplained = []
    for number in range(max(len(played), len(heard))):
        starts_s = BEGAN_S + (at + number) * frame_ms / 1000
        if number < len(played):
            guard.played(starts_s, frame_ms, played[number])
        if number < len(heard):
            guard.heard(starts_s, frame_ms, heard[number])
            if heard[number] > -50 and not guard.explains(starts_s, frame_ms, heard[number]):
                unexplained.append(number)
    return guard, unexplained


def test_an_envelope_remembers_two_and_a_half_seconds_and_nothing_else():
    envelope = Envelope()
    envelope.write(10, 2, -20.0)
    assert envelope.read(9, 4) == [SILENT_DBOV, -20.0, -20.0, SILENT_DBOV]
    assert envelope.read(9, 4, 2) == [SILENT_DBOV, -20.0]
    envelope.write(10 + 256, 1, -30.0)
    assert envelope.read(10, 2) == [SILENT_DBOV, -20.0]
    envelope.forget_from(11)
    assert envelope.read(10, 2) == [SILENT_DBOV, SILENT_DBOV]


def test_where_nothing_is_played_nothing_is_echo():
    guard = EchoGuard()
    assert not guard.explains(BEGAN_S, 20, -40.0)
    guard.played(BEGAN_S, 20, -80.0)
    assert not guard.explains(BEGAN_S, 20, -40.0)


def test_of_a_line_not_known_yet_only_what_is_nearly_as_loud_is_the_caller():
    guard = EchoGuard()
    guard.played(BEGAN_S, 200, -20.0)
    assert guard.explains(BEGAN_S + 0.1, 20, -29.0)
    assert not guard.explains(BEGAN_S + 0.1, 20, -27.0)
    assert not guard.known


@pytest.mark.parametrize("delay_ms", range(0, 301, 25))
@pytest.mark.parametrize("loss_db", [12, 20, 30, 45])
def test_echo_of_any_delay_and_loss_is_explained(delay_ms, loss_db):
    rng = random.Random(delay_ms)
    played = line.talk(rng, 400, -20)
    returned = line.echo(played, delay_ms, loss_db)
    heard = line.mix(returned, noise_dbov=rng.uniform(-70, -55), rng=rng)
    _, unexplained = guard_after(played, heard)
    in_a_row = [one for one in unexplained if one + 1 in unexplained or one + 2 in unexplained]
    assert in_a_row == []


@given(
    played=st.lists(st.floats(-60, -10), min_size=1, max_size=150),
    heard=st.lists(st.floats(-60, 0), min_size=1, max_size=150),
)
@settings(max_examples=50)
def test_what_is_louder_than_all_that_was_played_is_never_echo(played, heard):
    _, unexplained = guard_after(played, heard)
    for number, level in enumerate(heard):
        if level > max(-50.0, max(played) + 6):  # quieter is not asked about
            assert number in unexplained


@pytest.mark.parametrize("delay_ms", [0, 20, 90, 145, 300])
@pytest.mark.parametrize("loss_db", [12, 20, 28])
def test_the_path_is_found(delay_ms, loss_db):
    rng = random.Random(4)
    played = line.talk(rng, 300, -20)
    heard = line.mix(line.echo(played, delay_ms, loss_db), noise_dbov=-60, rng=rng)
    guard, _ = guard_after(played, heard)
    assert guard.path is not None
    assert guard.path.certain
    assert abs(guard.path.lag_ms - delay_ms) <= 20
    assert abs(guard.path.loss_db - loss_db) <= 3


@pytest.mark.parametrize("frame_ms", [10, 30, 40, 60])
def test_frames_of_other_lengths_do_as_well(frame_ms):
    rng = random.Random(5)
    short = line.talk(rng, 600, -20)
    played = short if frame_ms == 10 else short[:: frame_ms // 20 or 1]
    delay_frames = 2
    heard = line.mix(
        [-127.0] * delay_frames + [each - 20 for each in played], noise_dbov=-60, rng=rng
    )
    guard, unexplained = guard_after(played, heard, frame_ms=frame_ms)
    assert guard.path is not None
    assert abs(guard.path.lag_ms - delay_frames * frame_ms) <= 20
    assert unexplained == []


@pytest.mark.parametrize("delay_ms", range(0, 301, 50))
@pytest.mark.parametrize("loss_db", [15, 20, 30, 60])
def test_a_caller_who_speaks_up_is_heard_over_the_echo(delay_ms, loss_db):
    rng = random.Random(delay_ms)
    played = line.talk(rng, 350, -20)
    begins = rng.randint(75, 250)
    caller = [-127.0] * begins + line.talk(rng, 100, -23)
    heard = line.mix(line.echo(played, delay_ms, loss_db), caller, noise_dbov=-60, rng=rng)
    _, unexplained = guard_after(played, heard[:350])
    assert [number for number in unexplained if begins <= number < begins + 50]


def test_a_quiet_line_is_known_soon_and_a_quiet_caller_heard_at_once():
    rng = random.Random(6)
    played = line.talk(rng, 100, -20)
    guard, _ = guard_after(played, [-62.0 + rng.gauss(0, 1) for _ in range(100)])
    assert guard.known
    assert guard.path is None
    now_s = BEGAN_S + 2.0
    guard.played(now_s, 20, -15.0)
    guard.heard(now_s, 20, -38.0)
    assert not guard.explains(now_s, 20, -38.0)


def test_a_line_whose_frames_have_no_sound_at_all_is_known_to_be_quiet():
    """As from a leg that suppresses noise; a frame that never came tells nothing."""
    rng = random.Random(6)
    played = line.talk(rng, 100, -20)
    guard, _ = guard_after(played, [SILENT_DBOV] * 100)
    assert guard.known
    assert guard.path is None
    untold, _ = guard_after(played, [])
    untold.look()
    assert not untold.known


def test_a_guard_that_does_not_watch_knows_the_line_once_it_is_asked():
    rng = random.Random(4)
    played = line.talk(rng, 300, -20)
    heard = line.mix(line.echo(played, 90, 20), noise_dbov=-60, rng=rng)
    guard = EchoGuard(watches=False)
    for number in range(300):
        guard.played(BEGAN_S + number * 0.02, 20, played[number])
        guard.heard(BEGAN_S + number * 0.02, 20, heard[number])
    assert not guard.known
    guard.look()
    assert guard.path is not None
    assert guard.path.loss_db == pytest.approx(20, abs=3)


@pytest.mark.simulation
def test_two_who_talk_at_once_are_no_echo_of_each_other():
    taken = 0
    for seed in range(40):
        rng = random.Random(seed)
        guard, _ = guard_after(line.talk(rng, 300, -20), line.talk(rng, 300, -24))
        taken += guard.path is not None and guard.path.certain
    assert taken <= 1


def test_a_steady_tone_tells_nothing_of_the_line():
    guard, _ = guard_after([-20.0] * 150, [-40.0] * 150)
    assert guard.path is None


def test_after_a_cut_a_quiet_line_has_to_prove_itself_again():
    rng = random.Random(7)
    guard, _ = guard_after(line.talk(rng, 100, -20), [-62.0] * 100)
    guard.stopped(BEGAN_S + 2.0)
    assert not guard.known


def test_what_was_cut_before_it_was_played_makes_no_echo():
    guard = EchoGuard()
    guard.played(BEGAN_S, 100, -20.0)
    guard.stopped(BEGAN_S)
    assert not guard.explains(BEGAN_S + 0.05, 20, -45.0)


def test_an_echo_path_that_goes_away_is_forgotten():
    rng = random.Random(8)
    played = line.talk(rng, 300, -20)
    heard = line.mix(line.echo(played, 100, 20), noise_dbov=-60, rng=rng)
    guard, _ = guard_after(played, heard)
    assert guard.path is not None
    guard_after(line.talk(rng, 1500, -20), [-62.0] * 1500, at=300, guard=guard)
    assert guard.path is None


def test_a_path_of_which_little_was_seen_is_dropped_at_the_first_doubt():
    rng = random.Random(9)
    played = line.talk(rng, 45, -20)
    guard, _ = guard_after(played, line.mix(line.echo(played, 0, 20), noise_dbov=-60, rng=rng))
    assert guard.path is not None
    assert not guard.path.certain
    guard_after(line.talk(rng, 120, -20), [-62.0] * 120, at=45, guard=guard)
    assert guard.path is None


def test_an_echo_is_foreseen_by_a_path_that_is_certain_and_stays_so_in_a_pause():
    rng = random.Random(4)
    played = line.talk(rng, 300, -20)
    heard = line.mix(line.echo(played, 90, 20), noise_dbov=-60, rng=rng)
    guard, foreseen, uncertain = EchoGuard(watches=False), [], 0
    for number in range(300):
        now_s = BEGAN_S + number * 0.02
        guard.played(now_s, 20, played[number])
        guard.heard(now_s, 20, heard[number])
        if guard.path is None:
            guard.look()
            assert not guard.foresees(now_s, 20, -60.0)
        if guard.path is not None and not guard.path.certain:
            uncertain += 1
            assert not guard.foresees(now_s, 20, -60.0)
        if number >= 150 and heard[number] > -50:
            foreseen.append(guard.foresees(now_s, 20, heard[number]))
            assert not guard.foresees(now_s, 20, max(played) - 5)
    assert guard.path is not None
    assert guard.path.certain
    assert uncertain > 0
    assert sum(foreseen) > 0.95 * len(foreseen) > 50
    pause_s = BEGAN_S + 6.0
    for number in range(50):
        guard.played(pause_s + number * 0.02, 20, -75.0)
        guard.heard(pause_s + number * 0.02, 20, -60.0)
    guard.look()
    assert guard.path.certain
    assert not guard.foresees(pause_s + 1.0, 20, -45.0)  # nothing is played
