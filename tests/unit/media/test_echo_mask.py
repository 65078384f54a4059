"""Which frames are covered; every one is 20 ms."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reception.media.echo_mask import LEFT_DB, EchoMask

ECHO = {"sound": True, "foreseen": True, "left_db": LEFT_DB}
QUIET = {"sound": False, "foreseen": True, "left_db": 30.0}
TOO_LOUD = ECHO | {"foreseen": False}
SOMETHING_LEFT = ECHO | {"left_db": LEFT_DB - 0.1}


def covered(*frames):
    mask = EchoMask()
    return [mask.covers(**frame, duration_ms=20) for frame in frames]


def test_a_frame_of_echo_is_covered_and_silence_need_not_be():
    assert covered(ECHO, QUIET, ECHO) == [True, False, True]


def test_what_no_echo_explains_is_heard_and_what_comes_within_200_ms_of_it():
    for caller in (TOO_LOUD, SOMETHING_LEFT):
        assert covered(ECHO, caller, *[ECHO] * 12) == [True, *[False] * 11, True, True]
        assert covered(caller, *[QUIET] * 9, ECHO, ECHO) == [*[False] * 11, True]
        assert covered(caller, *[ECHO] * 9, caller, *[ECHO] * 11) == [*[False] * 21, True]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"sound": st.booleans(), "foreseen": st.booleans(), "left_db": st.floats(-5, 40)}
        ),
        max_size=200,
    )
)
def test_no_frame_is_covered_that_is_not_echo_nor_one_soon_after_it(frames):
    seen = covered(*frames)
    not_echo = [-100] + [
        at
        for at, each in enumerate(frames)
        if each["sound"] and not (each["foreseen"] and each["left_db"] >= LEFT_DB)
    ]
    for at, each in enumerate(frames):
        last = max(other for other in not_echo if other <= at)
        assert seen[at] == (each["sound"] and at - last > 10)
    assert all(one < other for one, other in pairwise(not_echo))
