"""What is told of a live call, and what comes of it on the other side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.call.progress import applied, decode, encode, progress
from reception.call.record import CallRecord, Said, TurnTime
from reception.errors import InvalidRequest
from tests.unit.call.example import SPEC

BEGUN = CallRecord(SPEC, "connecting", "connecting", "m")
WORDS = st.builds(
    Said,
    st.sampled_from(["caller", "reception"]),
    st.text(max_size=5),
    st.integers(0, 9),
    heard_ms=st.none() | st.integers(0, 9),
)
TIMES = st.builds(TurnTime, st.integers(0, 3), st.integers(0, 9), st.just(1), st.booleans())
RECORDS = st.builds(
    replace,
    st.just(BEGUN),
    state=st.sampled_from(["connecting", "active"]),
    phase=st.sampled_from(["listening", "speaking"]),
    turns=st.integers(0, 3),
    interruptions=st.integers(0, 3),
    cost_micros=st.integers(0, 3),
    model=st.sampled_from(["m", "mini"]),
    budget_steps=st.sampled_from([(), ("warn",), ("warn", "shorten")]),
    transcript=st.lists(WORDS, max_size=4).map(tuple),
    turn_times=st.lists(TIMES, max_size=3).map(tuple),
)


@given(st.lists(RECORDS, max_size=6))
def test_who_hears_everything_knows_the_call_as_it_was_told_last(story):
    theirs = told = BEGUN
    for now in story:
        news = progress(told, now)
        if news is None:
            assert (now.phase, now.cost_micros) == (told.phase, told.cost_micros)
            continue
        theirs, told = applied(theirs, decode(encode(news))), now
        assert theirs == now


def test_only_what_is_new_is_told():
    one, two = Said("caller", "One.", 1), Said("reception", "Two.", 2)
    before = replace(BEGUN, transcript=(one, two))
    cut = replace(two, text="Tw …", heard_ms=80)
    now = replace(before, phase="speaking", transcript=(one, cut, one))
    news = progress(before, now)
    assert news is not None
    assert (news.said_from, news.said, news.times) == (1, (cut, one), ())


def test_words_alone_are_no_news():
    assert progress(BEGUN, replace(BEGUN, transcript=(Said("caller", "Hm.", 1),))) is None


def test_after_a_loss_the_rest_is_right():
    lines = tuple(Said("caller", str(number), number) for number in range(3))
    now = replace(BEGUN, phase="speaking", transcript=lines)
    news = progress(replace(BEGUN, transcript=lines[:2]), now)
    assert news is not None
    assert applied(BEGUN, news).transcript == lines[2:]


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{}", b'{"said": [{}], "times": []}'])
def test_nonsense_is_refused(data):
    with pytest.raises(InvalidRequest, match="progress is not valid"):
        decode(data)
