"""How long an answer may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.money.bounds import (
    CALLER_TOKENS,
    LEAST_TOKENS,
    MOST_TOKENS,
    output_tokens,
    tokens_to_say,
)
from reception.money.prices import ModelPrice, PriceTable, TokenPrice
from reception.provider.base import Usage

MINI = ModelPrice(
    0.0,
    text=TokenPrice(600_000, 60_000, 2_400_000),
    audio=TokenPrice(10_000_000, 300_000, 20_000_000),
)
LAST = Usage(input_text=600, input_audio=100, output_text=20, output_audio=80)


@pytest.mark.parametrize(
    ("spendable", "tokens"),
    [(0, 256), (10_000, 256), (16_500, 512), (40_000, 1_024), (100_000, 4_096), (10**9, 4_096)],
)
def test_what_is_held_says_how_long(spendable: int, tokens: int) -> None:
    assert output_tokens(spendable, LAST, MINI) == tokens


def test_what_is_cached_leaves_more_for_the_answer() -> None:
    cached = Usage(6_000, 3_000, cached_text=6_000, cached_audio=3_000)
    assert output_tokens(40_000, cached, MINI) > output_tokens(40_000, Usage(6_000, 3_000), MINI)


def test_an_answer_that_costs_nothing_has_no_bound() -> None:
    assert output_tokens(0, LAST, ModelPrice(0.0)) == MOST_TOKENS


@given(st.integers(0, 10**6), st.integers(0, 4_000), st.integers(0, 4_000), st.integers(0, 500))
def test_the_next_answer_is_covered_by_what_is_held(
    spendable: int, text: int, audio: int, out: int
) -> None:
    last = Usage(input_text=text, input_audio=audio, output_audio=out)
    bound = output_tokens(spendable, last, MINI)
    assert LEAST_TOKENS <= bound <= MOST_TOKENS
    if bound > LEAST_TOKENS:
        then = Usage(text, audio + out + CALLER_TOKENS, output_audio=bound)
        cost = PriceTable("1", {"mini": (MINI,)}).cost(then, "mini", 0.0)
        assert cost <= spendable + 1


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
