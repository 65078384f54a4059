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
    ("to_uri", "is_one"),
    [
        ("112", True), ("tel:112", True), ("TEL:1-1-2", True), ("sip:112@pbx.example:5060", True),
        ("sips:112;phone-context=+49@pbx", True), (" 112 ", True), ("+15559110", True),
        ("tel:+1 (555) 9110;ext=3", True), ("911", False), ("1120", False), ("+112", False),
        ("sip:anna@112", False), ("", False),
    ],
)  # fmt: skip
def test_a_number_of_emergencies_is_known_however_it_is_written(to_uri, is_one):
    book = ProfileBook({}, {}, "", ["112", "+15559110"])
    assert book.is_emergency(to_uri) is is_one
    assert not BOOK.is_emergency(to_uri)


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
