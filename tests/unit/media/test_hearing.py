"""A profile's settings of listening."""

from typing import Any

import pytest

from reception.errors import InvalidRequest
from reception.media.hearing import MAX_MIN_SPEECH_MS, Hearing


def test_by_default_nothing_is_done():
    hearing = Hearing()
    assert (hearing.decides, hearing.enhances, hearing.watches) == (False, False, False)


@pytest.mark.parametrize(
    ("hearing", "decides", "enhances", "watches"),
    [
        (Hearing(barge_in="local"), True, False, True),
        (Hearing(min_speech_ms=300), True, False, True),
        (Hearing(noise_suppression="light"), False, True, False),
        (Hearing(gain=True), False, True, True),
        (Hearing(dtmf_inband=True), False, False, False),
    ],
)
def test_what_a_setting_needs(hearing, decides, enhances, watches):
    assert (hearing.decides, hearing.enhances, hearing.watches) == (decides, enhances, watches)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("barge_in", "never", "barge_in 'never' is not one of provider, local"),
        ("noise_suppression", "total", "noise_suppression 'total' is not one of off, light, full"),
        ("min_speech_ms", -1, "min_speech_ms -1 is not within 0 and 2000"),
        ("min_speech_ms", MAX_MIN_SPEECH_MS + 1, "min_speech_ms 2001 is not within 0 and 2000"),
    ],
)
def test_a_bad_value_is_refused_by_name(field, value, message):
    fields: dict[str, Any] = {field: value}
    with pytest.raises(InvalidRequest, match=message) as refused:
        Hearing(**fields)
    assert refused.value.field == f"hearing.{field}"
