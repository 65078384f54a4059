"""How long the next answer may be, by what is held and by what is not billed yet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.money.allowance import NONE, Allowance, Means
from reception.money.bounds import CALLER_TOKENS, LEAST_TOKENS, MOST_TOKENS
from reception.money.prices import ModelPrice, PriceTable, TokenPrice
from reception.provider.base import Usage

TEXT = TokenPrice(600_000, 60_000, 2_400_000)
AUDIO = TokenPrice(10_000_000, 300_000, 20_000_000)
MINI = PriceTable("1", {"mini": (ModelPrice(0.0, text=TEXT, audio=AUDIO),)})
READS = Usage(input_text=600, input_audio=100)


def means(micros: int, number: int = 0, *, binding: bool = True) -> Means:
    return Means(micros, TEXT, AUDIO, number, binding)


def made(tokens: int) -> Usage:
    """An answer that read nothing."""
    return Usage(output_audio=tokens)


@pytest.mark.parametrize(
    ("spendable", "tokens"),
    [(0, NONE), (12_500, NONE), (12_600, 256), (18_000, 512), (40_000, 1_024), (88_000, 2_048),
     (90_000, 0), (10**9, 0)],
)  # fmt: skip
def test_what_is_held_says_how_long(spendable: int, tokens: int) -> None:
    assert Allowance(means(spendable)).tokens(READS) == tokens


def test_what_is_cached_leaves_more_for_the_answer() -> None:
    cached = Usage(6_000, 3_000, cached_text=6_000, cached_audio=3_000)
    assert Allowance(means(40_000)).tokens(cached) == 1_024
    assert Allowance(means(40_000)).tokens(Usage(6_000, 3_000)) == NONE


def test_images_that_are_read_leave_less_for_the_answer() -> None:
    own = TokenPrice(800_000, 80_000)
    bought = Means(40_000, TEXT, AUDIO, image=own)
    assert (
        bought.reading(Usage(input_image=1_000, cached_image=600)) == 400 * 800_000 + 600 * 80_000
    )
    assert Allowance(bought).tokens(READS) == 1_024
    assert Allowance(bought).tokens(replace(READS, input_image=20_000)) == 512
    assert Allowance(bought).tokens(replace(READS, input_image=40_000)) == NONE


def test_what_is_being_made_is_held_back_at_its_bound_and_then_at_what_it_was() -> None:
    allowance = Allowance(means(40_000))
    allowance.began("r1", READS, 900)
    assert allowance.tokens(READS) == NONE  # 900 of audio, which are read next
    allowance.ended("r1", made(100))
    assert allowance.tokens(READS) == 1_024
    allowance.ended("r2", made(600))
    assert allowance.tokens(READS) == 512
    allowance.told(means(40_000), "r2")
    allowance.told(means(40_000), "r2")
    assert allowance.tokens(READS) == 1_024


def test_what_is_lost_or_came_to_nothing_costs_nothing() -> None:
    allowance = Allowance(means(40_000))
    for response_id in ("r1", "r2"):
        allowance.began(response_id, READS, 900)
    allowance.ended("r1", None)
    assert allowance.tokens(READS) == NONE
    allowance.lost()
    assert allowance.tokens(READS) == 1_024


def test_what_the_ledger_said_before_is_not_taken_for_what_it_says_now() -> None:
    allowance = Allowance(means(40_000, 1))
    for response_id in ("r1", "r2"):
        allowance.ended(response_id, made(200))
    allowance.told(means(32_000, 5), "r2")
    allowance.told(means(36_000, 3), "r1")
    one = Allowance(means(32_000))
    for micros in range(15_000, 60_000, 1_000):
        allowance.told(means(micros, 6 + micros), "")
        one.told(means(micros), "")
        assert allowance.tokens(READS) == one.tokens(READS)


def test_where_limits_may_be_passed_there_is_always_an_answer() -> None:
    assert Allowance(means(0, binding=False)).tokens(READS) == LEAST_TOKENS


def test_only_so_many_are_known() -> None:
    allowance = Allowance(means(230_000))
    for number in range(101):
        allowance.ended(f"r{number}", made(100))
    hundred = allowance.tokens(READS)
    allowance.ended("r101", made(100))
    assert allowance.tokens(READS) == hundred == 1_024


@given(st.integers(0, 10**6), st.integers(0, 4_000), st.integers(0, 4_000), st.integers(0, 500))
def test_the_next_answer_and_the_beginning_of_one_more_are_covered(
    spendable: int, text: int, audio: int, owed: int
) -> None:
    allowance = Allowance(means(spendable))
    allowance.ended("r1", made(owed))
    bound = allowance.tokens(Usage(input_text=text, input_audio=audio))
    if bound == NONE:
        return
    costs = [
        MINI.cost(usage, "mini", 0.0)
        for usage in (
            made(owed),
            Usage(text, audio + CALLER_TOKENS, output_audio=bound or MOST_TOKENS),
            Usage(text, audio + CALLER_TOKENS, text, audio),
        )
    ]
    assert bound == 0 or bound >= LEAST_TOKENS
    assert sum(costs) <= spendable + len(costs)


@given(st.integers(0, 4_000), st.integers(0, 4_000), st.integers(0, 500))
def test_the_least_is_what_pays_for_a_short_answer_after_it(
    text: int, audio: int, out: int
) -> None:
    last, heard = Usage(text, audio, output_audio=out), Usage(text, audio + out)
    least = means(0).least(last)
    assert Allowance(means(least + 1 + out)).tokens(heard) >= LEAST_TOKENS
    assert Allowance(means(least - 21)).tokens(heard) == NONE
