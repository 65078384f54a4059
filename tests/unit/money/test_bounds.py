"""How long an answer may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.money.bounds import MOST_TOKENS, tokens_to_say


@pytest.mark.parametrize(
    ("seconds", "as_sound", "as_text"),
    [(0, 0, 0), (15, 349, 200), (30, 698, 200), (120, 2_790, 390), (1_000, 4_096, 3_250),
     (3_600, 4_096, 4_096)],
)  # fmt: skip
def test_how_long_it_takes_to_speak_says_how_many_tokens(
    seconds: int, as_sound: int, as_text: int
) -> None:
    assert tokens_to_say(seconds, text=False) == as_sound
    assert tokens_to_say(seconds, text=True) == as_text


@given(st.integers(1, 4_000), st.integers(0, 600))
def test_a_bound_leaves_the_time_that_is_wanted_and_text_not_much_more(
    seconds: int, more: int
) -> None:
    text, sound = (tokens_to_say(seconds, text=each) for each in (True, False))
    assert text <= sound <= MOST_TOKENS
    for each, tokens_per_s in ((text, 3.25), (sound, 20 + 3.25)):
        assert each == MOST_TOKENS or each / tokens_per_s >= seconds
    assert text / 3.25 <= max(62.0, seconds + 1.0)
    assert sound / 23.25 <= max(9.0, seconds + 1.0)
    assert text <= tokens_to_say(seconds + more, text=True)
    assert sound <= tokens_to_say(seconds + more, text=False)
