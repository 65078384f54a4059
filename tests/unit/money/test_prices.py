"""Prices: the table, and exact cost in integers."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.money.prices import PriceTable, TokenPrice, parse_prices, to_micros
from reception.provider.base import Usage

SHIPPED = Path(__file__).parents[3] / "config" / "prices.yaml"
NOW_S = datetime(2026, 11, 24, tzinfo=UTC).timestamp()

FULL = "gpt-realtime-2.1"
MINI = "gpt-realtime-2.1-mini"


@pytest.fixture(scope="module")
def shipped() -> PriceTable:
    return parse_prices(yaml.safe_load(SHIPPED.read_text()))


def table(**entry: Any) -> dict[str, Any]:
    """A table of one model with one entry."""
    given = {"valid_from": "2026-01-01", "text": {"input": 1}} | entry
    kept = {name: value for name, value in given.items() if value is not None}
    return {"version": "v", "models": {"m": [kept]}}


WHOLE: dict[str, Any] = {
    "text": {"input": 4, "cached": "0.4", "output": 16},
    "audio": {"input": 32, "cached": "0.4", "output": 64},
    "hold_usd_per_minute": "0.3",
}


def test_the_shipped_table_has_the_models_of_the_price_list(shipped: PriceTable) -> None:
    full, mini = shipped.price(FULL, NOW_S), shipped.price(MINI, NOW_S)
    assert full.text == TokenPrice(4_000_000, 400_000, 24_000_000)
    assert full.audio == TokenPrice(32_000_000, 400_000, 64_000_000)
    assert full.image == TokenPrice(5_000_000, 500_000)
    assert mini.text == TokenPrice(600_000, 60_000, 2_400_000)
    assert mini.audio == TokenPrice(10_000_000, 300_000, 20_000_000)
    assert shipped.price("gpt-realtime", NOW_S).text.output == 16_000_000
    for model in ("gpt-live-1", "gpt-live-transcribe", "gpt-realtime-whisper", "gpt-transcribe",
                  "gpt-4o-mini-transcribe", "whisper-1"):  # fmt: skip
        assert shipped.price(model, NOW_S).pico_per_ms > 0


@pytest.mark.parametrize("model", ["embedded", "scripted"])
def test_what_costs_nothing_is_priced_as_the_small_model_and_says_so(
    shipped: PriceTable, model: str
) -> None:
    usage = Usage(1_000, 400, 128, 64, 50, 120)
    assert shipped.cost(usage, model, NOW_S) == shipped.cost(usage, MINI, NOW_S) > 0
    assert shipped.price(model, NOW_S).simulated
    assert not shipped.price(MINI, NOW_S).simulated


def test_cost_of_a_response_by_hand(shipped: PriceTable) -> None:
    usage = Usage(
        input_text=1_500, input_audio=300, cached_text=1_408, cached_audio=64,
        output_text=40, output_audio=160,
    )  # fmt: skip
    by_hand = 92 * 4 + 1_408 * 0.4 + 236 * 32 + 64 * 0.4 + 40 * 24 + 160 * 64
    assert shipped.cost(usage, FULL, NOW_S) == round(by_hand) == 19_709


def test_images_have_their_own_prices(shipped: PriceTable) -> None:
    """Of the small model too; a million of each, so that nothing is rounded."""
    fresh, cached = Usage(input_image=10**6), Usage(input_image=10**6, cached_image=10**6)
    assert shipped.cost(fresh, FULL, NOW_S) == 5_000_000
    assert shipped.cost(cached, FULL, NOW_S) == 500_000
    assert shipped.cost(fresh, MINI, NOW_S) == 800_000
    assert shipped.cost(cached, MINI, NOW_S) == 80_000
    by_hand = 92 * 4 + 1_408 * 0.4 + 232 * 5 + 768 * 0.5
    usage = Usage(input_text=1_500, cached_text=1_408, input_image=1_000, cached_image=768)
    assert shipped.cost(usage, FULL, NOW_S) == round(by_hand)


@pytest.mark.parametrize(
    ("image", "micros"), [(None, 4 * 400), ({"input": 5}, 5 * 400), ({"cached": 1}, 4 * 400)]
)
def test_images_without_a_price_are_billed_as_text(image: Any, micros: int) -> None:
    prices = parse_prices(table(text=WHOLE["text"], image=image))
    assert prices.cost(Usage(input_image=400), "m", NOW_S) == micros
    of_cached = round(400 * (1 if image == {"cached": 1} else 0.4))
    assert prices.cost(Usage(input_image=400, cached_image=400), "m", NOW_S) == of_cached


@pytest.mark.parametrize("name", ["input", "cached"])
def test_a_model_of_calls_has_no_images_for_nothing(name: str) -> None:
    prices = parse_prices(table(**WHOLE, image={name: 0}))
    with pytest.raises(InvalidRequest, match=f"has image.{name} 0"):
        prices.check_call("m", NOW_S)
    parse_prices(table(**WHOLE)).check_call("m", NOW_S)


def test_cached_tokens_are_not_counted_twice(shipped: PriceTable) -> None:
    all_cached = Usage(input_text=1_000, cached_text=1_000)
    assert shipped.cost(all_cached, FULL, NOW_S) == 400


def test_the_sum_is_rounded_once_half_up(shipped: PriceTable) -> None:
    """One cached mini token is 0.06 micro-dollars."""

    def cached(count: int) -> Usage:
        return Usage(input_text=count, cached_text=count)

    assert shipped.cost(cached(8), MINI, NOW_S) == 0
    assert shipped.cost(cached(9), MINI, NOW_S) == 1
    half = Usage(input_text=25, cached_text=25)
    assert shipped.cost(half, MINI, NOW_S) == 2
    assert to_micros(500_000) == 1
    assert to_micros(499_999) == 0


def test_a_nothing_costs_nothing(shipped: PriceTable) -> None:
    assert shipped.cost(Usage(), FULL, NOW_S) == 0


counts = st.integers(0, 10**9)


@given(st.tuples(*[counts] * 4), st.integers(0, 100), st.integers(0, 100))
def test_cost_is_the_exact_sum_rounded_half_up(
    tokens: tuple[int, int, int, int], text_part: int, audio_part: int
) -> None:
    prices = parse_prices(
        table(text={"input": "0.6", "cached": "0.06", "output": "2.4"},
              audio={"input": "10", "cached": "0.3", "output": "0.000001"})
    )  # fmt: skip
    text, audio, text_out, audio_out = tokens
    cached_text, cached_audio = text * text_part // 100, audio * audio_part // 100
    usage = Usage(text, audio, cached_text, cached_audio, text_out, audio_out)
    exact = (
        (text - cached_text) * Fraction("0.6")
        + cached_text * Fraction("0.06")
        + text_out * Fraction("2.4")
        + (audio - cached_audio) * 10
        + cached_audio * Fraction("0.3")
        + audio_out * Fraction("0.000001")
    )
    assert prices.cost(usage, "m", NOW_S) == (exact + Fraction(1, 2)).__floor__()


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        (Usage(input_text=-1), "input_text"),
        (Usage(output_audio=-5), "output_audio"),
        (Usage(input_text=3, cached_text=4), "cached_text"),
        (Usage(input_audio=3, cached_audio=4), "cached_audio"),
        (Usage(input_text=9, input_image=3, cached_image=4), "cached_image"),
    ],
)
def test_impossible_counts_are_refused(shipped: PriceTable, usage: Usage, field: str) -> None:
    with pytest.raises(InvalidRequest, match=field) as caught:
        shipped.cost(usage, FULL, NOW_S)
    assert caught.value.field == field


def test_an_unknown_model_is_never_free(shipped: PriceTable) -> None:
    with pytest.raises(InvalidRequest, match="gpt-9"):
        shipped.cost(Usage(input_text=1), "gpt-9", NOW_S)
    with pytest.raises(InvalidRequest, match="gpt-9"):
        shipped.transcription_cost("gpt-9", 1.0, 0, 0, NOW_S)
    with pytest.raises(InvalidRequest, match="gpt-9"):
        shipped.hold("gpt-9", 60, NOW_S)


def test_the_latest_price_whose_day_has_come_counts() -> None:
    prices = parse_prices(
        {
            "version": 3,
            "models": {
                "m": [
                    {"valid_from": date(2026, 6, 1), "text": {"input": 2}},
                    {"valid_from": "2026-01-01", "text": {"input": 1}},
                ]
            },
        }
    )
    june_s = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    one = Usage(input_text=1)
    assert prices.version == "3"
    assert prices.cost(one, "m", june_s - 1) == 1
    assert prices.cost(one, "m", june_s) == 2
    with pytest.raises(InvalidRequest, match="no price"):
        prices.cost(one, "m", datetime(2025, 12, 31, tzinfo=UTC).timestamp())


JAN_S, JUN_S = (datetime(2026, month, 1, tzinfo=UTC).timestamp() for month in (1, 6))


@pytest.mark.parametrize(
    ("used_at_s", "priced_at_s"),
    [
        (None, JUN_S), (JUN_S, JUN_S), (JUN_S - 1, JUN_S - 1), (JAN_S, JAN_S),
        (JAN_S - 1, JUN_S), (JUN_S + 1, JUN_S), (float("nan"), JUN_S), (float("-inf"), JUN_S),
    ],
)  # fmt: skip
def test_a_use_is_priced_at_its_own_time_while_there_was_a_price(
    used_at_s: float | None, priced_at_s: float
) -> None:
    prices = parse_prices(table())
    assert prices.priced_at("m", used_at_s, JUN_S) == priced_at_s
    assert prices.priced_at("other", used_at_s, JUN_S) == JUN_S


# ------------------------------------------------------------------ transcription


def test_transcription_by_seconds(shipped: PriceTable) -> None:
    cost = shipped.transcription_cost("gpt-4o-mini-transcribe", 12.345, 0, 0, NOW_S)
    assert cost == 617  # 12.345 s x 50 micro-dollars = 617.25


def test_transcription_by_tokens_of_a_model_billed_by_time(shipped: PriceTable) -> None:
    by_time = shipped.transcription_cost("gpt-4o-mini-transcribe", 4.2, 0, 0, NOW_S)
    assert shipped.transcription_cost("gpt-4o-mini-transcribe", 0, 42, 9, NOW_S) == by_time == 210


def test_transcription_by_tokens(shipped: PriceTable) -> None:
    assert shipped.transcription_cost(MINI, 0, 10, 5, NOW_S) == 112


def test_transcription_milliseconds_are_rounded_half_up(shipped: PriceTable) -> None:
    prices = parse_prices(table(text=None, usd_per_second="0.001"))
    assert prices.transcription_cost("m", 0.0005, 0, 0, NOW_S) == 1
    assert prices.transcription_cost("m", 0.00049, 0, 0, NOW_S) == 0


@pytest.mark.parametrize(
    "used", [(-1.0, 0, 0), (float("nan"), 0, 0), (float("inf"), 0, 0), (0, -1, 0), (0, 0, -1)]
)
def test_impossible_transcriptions_are_refused(
    shipped: PriceTable, used: tuple[float, int, int]
) -> None:
    with pytest.raises(InvalidRequest, match="not possible"):
        shipped.transcription_cost("whisper-1", *used, NOW_S)


# ------------------------------------------------------------------ regions


def test_the_shipped_table_costs_a_tenth_more_in_a_region_for_the_newest_models(
    shipped: PriceTable,
) -> None:
    there = parse_prices(yaml.safe_load(SHIPPED.read_text()), regional=True)
    usage = Usage(1_500, 300, 1_408, 64, 40, 160)
    for model in (FULL, MINI):
        assert there.hold(model, 30, NOW_S) * 10 == shipped.hold(model, 30, NOW_S) * 11
    assert shipped.cost(usage, FULL, NOW_S) == 19_709  # 19,708.8
    assert there.cost(usage, FULL, NOW_S) == 21_680  # 21,679.68
    for model in ("gpt-realtime", "gpt-realtime-2", "gpt-realtime-mini", "embedded"):
        assert there.cost(usage, model, NOW_S) == shipped.cost(usage, model, NOW_S)
        assert there.hold(model, 30, NOW_S) == shipped.hold(model, 30, NOW_S)
    there.check_calls()


@given(st.decimals("0.1", "10", places=2), st.tuples(*[st.integers(0, 10**6)] * 4))
def test_in_a_region_everything_is_times_its_factor(
    factor: Decimal, tokens: tuple[int, int, int, int]
) -> None:
    data = table(**WHOLE, regional_factor=factor, hold_usd_per_answer="0.05")
    here, there = parse_prices(data), parse_prices(data, regional=True)
    text, audio, text_out, audio_out = tokens
    usage = Usage(text, audio, text // 2, audio // 3, text_out, audio_out)
    exact = Fraction(factor) * sum(
        count * dollars
        for count, dollars in (
            (text - text // 2, 4), (text // 2, Fraction("0.4")), (text_out, 16),
            (audio - audio // 3, 32), (audio // 3, Fraction("0.4")), (audio_out, 64),
        )
    )  # fmt: skip
    assert there.cost(usage, "m", NOW_S) == (exact + Fraction(1, 2)).__floor__()
    assert here.cost(usage, "m", NOW_S) == (exact / Fraction(factor) + Fraction(1, 2)).__floor__()
    assert there.hold("m", 60, NOW_S) == 300_000 * factor
    assert there.price("m", NOW_S).hold_micros_per_answer == 50_000 * factor
    assert here.hold("m", 60, NOW_S) == 300_000


def test_what_is_billed_by_time_has_its_factor_too() -> None:
    data = table(text=None, usd_per_second="0.0001", regional_factor="1.5")
    there = parse_prices(data, regional=True)
    assert there.transcription_cost("m", 2.0, 0, 0, NOW_S) == 300


# ------------------------------------------------------------------ nothing is free

TOKEN_PRICES = [(kind, each) for kind in ("text", "audio") for each in WHOLE[kind]]


def without(kind: str, each: str, **changed: Any) -> dict[str, Any]:
    """A whole table, but for one price."""
    kept = {name: price for name, price in WHOLE[kind].items() if name != each}
    return table(**(WHOLE | {kind: kept} | changed))


@pytest.mark.parametrize(("kind", "each"), TOKEN_PRICES)
def test_a_model_of_which_something_is_free_is_refused_before_the_call(
    kind: str, each: str
) -> None:
    prices = parse_prices(without(kind, each))
    with pytest.raises(InvalidRequest, match=f"'m' has {kind}.{each} 0 .*above 0") as caught:
        prices.check_call("m", NOW_S)
    assert caught.value.field == "model"
    with pytest.raises(InvalidRequest, match=r"models.m from 2026-01-01 .*above 0") as caught:
        prices.check_calls()
    assert caught.value.field == f"models.m.{kind}.{each}"


def test_a_model_for_which_nothing_is_held_is_refused_before_the_call() -> None:
    prices = parse_prices(table(**(WHOLE | {"hold_usd_per_minute": 0})))
    with pytest.raises(InvalidRequest, match="'m' has hold_usd_per_minute 0"):
        prices.check_call("m", NOW_S)
    with pytest.raises(InvalidRequest, match="hold_usd_per_minute"):
        prices.check_calls()


def test_what_nobody_charges_may_be_free() -> None:
    prices = parse_prices(without("audio", "cached", simulated=True, hold_usd_per_minute=0))
    prices.check_calls()
    prices.check_call("m", NOW_S)


def test_a_model_for_transcription_needs_no_more_than_that_and_answers_no_calls() -> None:
    words = {"text": {"input": 1, "output": 5}, "audio": {"input": 3}}
    prices = parse_prices(table(**words))
    prices.check_calls()
    with pytest.raises(InvalidRequest, match="must be above 0"):
        prices.check_call("m", NOW_S)


@pytest.mark.parametrize("model", ["whisper-1", "gpt-live-1", "gpt-realtime-whisper"])
def test_a_model_billed_by_time_answers_no_calls(shipped: PriceTable, model: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{model}.*usd_per_second") as caught:
        shipped.check_call(model, NOW_S)
    assert caught.value.field == "model"
    with pytest.raises(InvalidRequest, match="usd_per_second"):
        shipped.cost(Usage(output_audio=1), model, NOW_S)


def test_the_shipped_table_has_nothing_that_is_free(shipped: PriceTable) -> None:
    shipped.check_calls()
    for model in (FULL, MINI, "gpt-realtime", "gpt-realtime-mini", "embedded", "scripted"):
        shipped.check_call(model, NOW_S)


@given(st.tuples(*[st.integers(0, 9)] * len(TOKEN_PRICES)), st.integers(0, 9))
def test_a_model_that_may_answer_calls_bills_every_kind_of_use(
    dollars: tuple[int, ...], hold: int
) -> None:
    """A million tokens of each kind cost something, or the call never begins."""
    kinds: dict[str, dict[str, int]] = {"text": {}, "audio": {}}
    for (kind, each), price in zip(TOKEN_PRICES, dollars, strict=True):
        kinds[kind][each] = price
    prices = parse_prices(table(**kinds, hold_usd_per_minute=hold))
    try:
        prices.check_call("m", NOW_S)
    except InvalidRequest:
        assert 0 in (hold, *dollars)
        return
    assert 0 not in (hold, *dollars)
    many = 10**6
    for used in (
        Usage(input_text=many), Usage(input_text=many, cached_text=many), Usage(output_text=many),
        Usage(input_audio=many), Usage(input_audio=many, cached_audio=many),
        Usage(output_audio=many),
    ):  # fmt: skip
        assert prices.cost(used, "m", NOW_S) >= many
    assert prices.hold("m", 1, NOW_S) > 0


def test_a_hold_is_rounded_up(shipped: PriceTable) -> None:
    assert shipped.hold(MINI, 30, NOW_S) == 40_000
    assert shipped.hold(MINI, 1, NOW_S) == 1_334
    assert shipped.hold("whisper-1", 60, NOW_S) == 0


# ------------------------------------------------------------------ the file


@pytest.mark.parametrize(
    ("data", "where", "text"),
    [
        (None, "prices", "mapping"),
        ({"models": {"m": []}}, "version", "missing"),
        ({"version": "v"}, "models", "mapping"),
        ({"version": "v", "models": {}}, "models", "empty"),
        ({"version": "v", "modles": {}}, "prices", "modles"),
        ({"version": "v", "models": {"m": []}}, "models.m", "list"),
        ({"version": "v", "models": {"m": "free"}}, "models.m", "list"),
        ({"version": "v", "models": {"m": [3]}}, "models.m[0]", "mapping"),
        (table(txt={}), "models.m[0]", "txt"),
        (table(text={"inputs": 1}), "models.m[0].text", "inputs"),
        (table(text=None), "models.m[0]", "either"),
        (table(usd_per_second=1), "models.m[0]", "either"),
        (table(valid_from="soon"), "models.m[0].valid_from", "soon"),
        (table(valid_from=None), "models.m[0].valid_from", "None"),
        (table(simulated="yes"), "models.m[0].simulated", "true or false"),
        (table(text={"input": "much"}), "models.m[0].text.input", "much"),
        (table(text={"input": True}), "models.m[0].text.input", "True"),
        (table(text={"input": -1}), "models.m[0].text.input", "-1"),
        (table(text={"input": "NaN"}), "models.m[0].text.input", "NaN"),
        (table(text={"input": "Infinity"}), "models.m[0].text.input", "Infinity"),
        (table(text={"input": 1_000_001}), "models.m[0].text.input", "1000000"),
        (table(text={"input": "0.0000001"}), "models.m[0].text.input", "6 decimal"),
        (table(text=None, usd_per_second="0.0000000001"), "models.m[0].usd_per_second", "9"),
        (table(hold_usd_per_minute="x"), "models.m[0].hold_usd_per_minute", "x"),
        (table(regional_factor=11), "models.m[0].regional_factor", "0.1 to 10"),
        (table(regional_factor=0), "models.m[0].regional_factor", "is 0"),
        (table(regional_factor="NaN"), "models.m[0].regional_factor", "NaN"),
        (table(regional_factor="much"), "models.m[0].regional_factor", "much"),
        (table(regional_factor=True), "models.m[0].regional_factor", "True"),
    ],
)
def test_a_wrong_table_is_refused_by_place_value_and_bound(
    data: Any, where: str, text: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_prices(data)
    assert caught.value.field == where
    assert text in caught.value.message


def test_two_prices_of_one_day_are_refused() -> None:
    data = table()
    data["models"]["m"] *= 2
    with pytest.raises(InvalidRequest, match="same day"):
        parse_prices(data)


def test_numbers_and_text_mean_the_same() -> None:
    number = parse_prices(table(text={"input": 0.06}))
    text = parse_prices(table(text={"input": "0.06"}))
    assert number.models["m"][0].text.input == text.models["m"][0].text.input == 60_000
