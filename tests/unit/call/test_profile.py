"""Who answers which call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reception.call.profile import ProfileBook
from reception.errors import InvalidRequest
from reception.money.savings.levels import Level
from tests.unit.call.example import PROFILE

OTHER = replace(PROFILE, name="other")
BOOK = ProfileBook({"example": PROFILE, "other": OTHER}, {"+4930300": "other"}, "example")


def test_the_profile_asked_for_comes_before_the_called_number_and_that_before_the_default():
    assert BOOK.choose("example", "+4930300") is PROFILE
    assert BOOK.choose("", "+4930300") is OTHER
    assert BOOK.choose("", "+4930999") is PROFILE


def test_an_unknown_profile_is_refused_by_name():
    with pytest.raises(InvalidRequest, match="profile 'nobody' is not one of example, other"):
        BOOK.choose("nobody", "")


@pytest.mark.parametrize(
    ("level", "full_model", "model"),
    [
        (Level.BALANCED, False, "gpt-realtime-2.1"),
        (Level.THRIFTY, False, "gpt-realtime-2.1-mini"),
        (Level.THRIFTY, True, "gpt-realtime-2.1"),
    ],
)
def test_a_small_model_speaks_unless_the_profile_insists(level, full_model, model):
    profile = replace(PROFILE, full_model=full_model)
    assert profile.speaks("gpt-realtime-2.1", level) == model
    named = replace(profile, model="gpt-realtime-2.1")
    assert named.speaks("other", level) == model
    assert named.speaks("other", level, full_asked=True) == "gpt-realtime-2.1"
