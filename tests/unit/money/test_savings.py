"""Levels of saving, and the bills they make."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.money.prices import PriceTable, parse_prices
from reception.money.savings.billing import ITEM_TOKENS, MEMORY_TOKENS, Context, in_steps
from reception.money.savings.calls import MODEL_CALL, Call, Turn, generate, parse_calls, parse_rows
from reception.money.savings.comparison import Answered, Comparison, Measure, compare
from reception.money.savings.levels import LEVELS, MINI, Decisions, Level, route
from reception.money.savings.simulator import HANG_UP_TOKENS, Bill, Provider, simulate, together
from reception.provider.base import Usage

SHIPPED = Path(__file__).parents[3] / "config" / "prices.yaml"
NOW_S = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
FULL, SMALL = "gpt-realtime-2.1", "gpt-realtime-2.1-mini"
PRICES: PriceTable = parse_prices(yaml.safe_load(SHIPPED.read_text()))
NOTHING = LEVELS[Level.OFF]


def provider(**given: object) -> Provider:
    # fields of several types
    return replace(Provider(PRICES, NOW_S), **given)  # type: ignore[arg-type]


def bill(level: Level | Decisions, call: Call = MODEL_CALL, **given: object) -> Bill:
    decisions = LEVELS[level] if isinstance(level, Level) else level
    return simulate(call, decisions, provider(**given))


# ---------------------------------------------------------------- levels


def test_every_level_has_its_decisions_and_each_does_more() -> None:
    assert tuple(LEVELS) == tuple(Level)
    bills = [bill(level).micros for level in Level]
    assert bills == sorted(bills, reverse=True)
    assert len(set(bills)) == len(bills)


def test_the_small_models_have_prices() -> None:
    for full, small in MINI.items():
        assert PRICES.price(small, NOW_S).audio.output < PRICES.price(full, NOW_S).audio.output


@pytest.mark.parametrize(
    ("level", "asked", "model", "answers"),
    [
        (Level.BALANCED, False, FULL, FULL),
        (Level.THRIFTY, False, FULL, SMALL),
        (Level.THRIFTY, True, FULL, FULL),
        (Level.THRIFTY, False, SMALL, SMALL),
        (Level.THRIFTY, False, "embedded", "embedded"),
    ],
)
def test_the_small_model_first(level: Level, asked: bool, model: str, answers: str) -> None:
    assert route(model, LEVELS[level], full_asked=asked) == answers


# ---------------------------------------------------------------- the model call of two minutes


def test_the_model_call_is_two_minutes() -> None:
    assert MODEL_CALL.duration_ms == 120_000
    assert sum(turn.caller_ms for turn in MODEL_CALL.turns) == 42_000
    spoken_ms = sum(turn.answer_ms for turn in MODEL_CALL.turns)
    assert MODEL_CALL.greeting_ms + spoken_ms + MODEL_CALL.goodbye_ms == 54_000


@pytest.mark.parametrize(
    ("model", "cached", "dollars"),
    [(FULL, False, 0.283), (FULL, True, 0.144), (SMALL, False, 0.077), (SMALL, True, 0.040)],
)
def test_with_nothing_saved_it_costs_what_others_found(
    model: str, cached: bool, dollars: float
) -> None:
    """An independent estimate of the same call; it left out the provider's
    silence around the caller's words, and rounded."""
    found = bill(replace(NOTHING, stable_prompt=True), model=model, cached=cached)
    assert found.micros / 1e6 == pytest.approx(dollars, rel=0.08)


@pytest.mark.parametrize(
    ("level", "full_asked", "at_most_micros"),
    [
        (Level.BALANCED, True, 100_000),
        (Level.THRIFTY, False, 50_000),
        (Level.ECONOMY, True, 50_000),
        (Level.ECONOMY, False, 20_000),
    ],
)
def test_what_is_promised_of_the_model_call(
    level: Level, full_asked: bool, at_most_micros: int
) -> None:
    assert bill(level, full_asked=full_asked).micros <= at_most_micros


def test_shares_saved_of_the_model_call() -> None:
    off = bill(Level.OFF).micros
    saved = {level: 1 - bill(level, full_asked=True).micros / off for level in Level}
    assert 0.10 < saved[Level.QUALITY] < 0.20
    assert 0.30 < saved[Level.BALANCED] < 0.40
    assert saved[Level.ECONOMY] > 0.60
    assert 1 - bill(Level.THRIFTY).micros / off > 0.60


# ---------------------------------------------------------------- billing rules


def context(head: int = 128, *, warm: bool = False, **given: int) -> Context:
    # fields of several types
    return Context(head, warm=warm, **given)  # type: ignore[arg-type]


def test_the_whole_conversation_is_billed_again() -> None:
    """The example of OpenAI's guide: 100 tokens of instructions, turns of 20 and
    25 tokens of the caller, an answer of 20 audio and 10 text tokens."""
    talk = context(100)
    talk.add(audio=20)
    first = talk.respond(audio=20, text=10)
    talk.add(audio=20, text=10)
    talk.add(audio=25)
    second = talk.respond()
    assert (first.input_text - ITEM_TOKENS, first.input_audio) == (100, 20)
    assert (first.output_text, first.output_audio) == (10, 20)
    assert (second.input_text - 3 * ITEM_TOKENS, second.input_audio) == (110, 65)


def test_what_was_read_before_is_cached_in_steps() -> None:
    talk = context(130, warm=True)
    talk.add(audio=100)
    assert (talk.respond().cached_text, in_steps(130)) == (128, 128)
    talk.add(audio=500)
    second = talk.respond()
    # 130 of the head, 2 and 100 of the item: 232, of which 192 are whole steps
    assert (second.cached_text, second.cached_audio) == (132, 60)


def test_a_cold_or_broken_cache_has_nothing() -> None:
    assert context().respond().cached_text == 0
    talk = Context(128, warm=True, cached=False)
    assert talk.respond().cached_text == 0


def test_truncation_drops_the_oldest_and_breaks_the_cache() -> None:
    talk = context(128, truncate_at_tokens=300, retain_percent=50)
    for _ in range(3):
        talk.add(audio=98)
        last = talk.respond()
    assert (last.input_audio, last.cached_audio) == (294, 188)
    talk.add(audio=98)
    cut = talk.respond()
    assert (cut.input_audio, cut.cached_text, cut.cached_audio) == (98, 128, 0)


def test_at_the_end_of_the_memory_the_oldest_go() -> None:
    talk = context(1_000)
    for _ in range(3):
        talk.add(audio=10_000)
    assert talk.respond().input_audio == 20_000 <= MEMORY_TOKENS - 1_000
    huge = context(MEMORY_TOKENS + 1)
    huge.add(audio=1)
    assert huge.respond().input_audio == 0


# ---------------------------------------------------------------- what a level does to a bill

TALK = Call(
    turns=(
        Turn(2_000, 4_000, caller_chars=40, answer_chars=80, pause_ms=900, wait_ms=5_000),
        Turn(2_000, 4_000, caller_chars=40, answer_chars=80, heard_ms=1_000, tools=1),
        Turn(2_000, 0, caller_chars=40),
    ),
    greeting_ms=2_000,
    greeting_chars=40,
    goodbye_ms=1_000,
    goodbye_chars=20,
    head_tokens=640,
)


def test_a_response_for_each_answer_and_each_function() -> None:
    assert bill(Level.OFF, TALK).responses == 5
    assert bill(Level.QUALITY, TALK).responses == 4  # the greeting is a file
    silent = replace(TALK, greeting_ms=0)
    assert bill(Level.OFF, silent).responses == bill(Level.QUALITY, silent).responses == 4


def test_an_answer_that_is_cut_is_billed_whole_and_only_what_was_heard_stays() -> None:
    usage = [each.usage for each in bill(Level.OFF, TALK).answered]
    assert usage[3].output_audio == 80
    # greeting 40, caller 3 x 28 (37 with the pause), first answer 80, heard 20
    assert usage[4].input_audio == 40 + 28 * 2 + 37 + 80 + 20
    assert usage[4].output_audio == 20
    assert usage[4].output_text == HANG_UP_TOKENS + 5


def test_silence_is_cut_before_it_is_sent() -> None:
    off, quality = bill(Level.OFF, TALK), bill(Level.QUALITY, TALK)
    assert off.sent_ms == 3 * 2_800 + 900 + 5_000
    assert quality.sent_ms == 3 * 3_100 + 900
    # the provider's turn detection keeps none of what is left out …
    assert sum(each.silence_ms for each in quality.answered) == 0
    assert quality.transcription_micros == off.transcription_micros
    # … but for pauses longer than what is sent around words
    long = replace(TALK, turns=(replace(TALK.turns[0], pause_ms=2_000), *TALK.turns[1:]))
    off, quality = bill(Level.OFF, long), bill(Level.QUALITY, long)
    assert sum(each.silence_ms for each in quality.answered) == 900
    assert quality.transcription_micros < off.transcription_micros


def test_text_answers_have_no_audio() -> None:
    found = bill(Level.ECONOMY, TALK)
    assert found.usage.output_audio == 0
    assert sum(each.spoken_ms for each in found.answered) == 2 * 3_000


def test_files_replace_greeting_and_goodbye() -> None:
    found = bill(Level.QUALITY, TALK)
    assert [each.phrase_ms for each in found.answered] == [2_000, 0, 0, 0, 1_000]
    assert found.answered[0].usage == Usage()
    assert found.answered[-1].usage.output_audio == 0


def test_a_call_that_needs_the_full_model_gets_it_with_what_was_said() -> None:
    found = bill(Level.THRIFTY, replace(TALK, full_from=1))
    assert [each.model for each in found.answered] == [SMALL, SMALL, FULL, FULL, FULL]
    told = found.answered[2].usage
    assert told.input_audio == 28  # the new words; what was said before is text
    assert told.input_text > TALK.head_tokens + 10 + 10 + 15
    assert told.cached_text == in_steps(TALK.head_tokens + 15)


def test_a_call_with_the_full_model_stays_there() -> None:
    assert bill(Level.BALANCED, replace(TALK, full_from=1)) == bill(Level.BALANCED, TALK)


def test_the_call_is_shorter_when_answers_are() -> None:
    assert bill(Level.OFF, TALK).duration_ms == 3 * 2_000 + 900 + 5_000 + 4_000 + 1_000 + 3_000
    assert bill(Level.BALANCED, TALK).duration_ms == bill(Level.OFF, TALK).duration_ms - 1_000


def test_bills_add_up() -> None:
    one = bill(Level.OFF, TALK)
    both = together([one, bill(Level.ECONOMY, TALK)])
    assert both.micros == one.micros + bill(Level.ECONOMY, TALK).micros
    assert both.usage.output_audio == one.usage.output_audio
    assert both.cache_percent > one.cache_percent > 0
    assert together([]).cache_percent == together([]).micros_per_minute == 0
    assert one.micros_per_minute == one.micros * 60_000 // one.duration_ms


def test_what_is_billed_by_time_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="billed by time"):
        bill(Level.OFF, model="gpt-live-1")


# ---------------------------------------------------------------- what it would have cost

CALLS = generate(Random(3), 8)


def undone(call: Call, level: Level, **given: bool) -> tuple[Bill, Bill, Comparison]:
    """A level's bill, that of level off, and the second as found from the first."""
    call = replace(call, full_from=None)
    decisions = replace(LEVELS[level], answer_percent=100, manner="", truncate_at_tokens=0)
    saved = bill(decisions, call, **given)
    off = bill(Level.OFF, call, **given)
    return saved, off, compare(saved.answered, call.head_tokens, PRICES, NOW_S)


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("cached", [True, False])
def test_over_many_calls_it_is_right_within_a_hundredth(level: Level, cached: bool) -> None:
    all_calls = [undone(call, level, cached=cached) for call in CALLS]
    off = sum(off.micros - off.transcription_micros for _, off, _ in all_calls)
    assert sum(found.would_be_micros for _, _, found in all_calls) == pytest.approx(off, rel=0.01)


@given(
    st.sampled_from([call for call in CALLS if len(call.turns) > 1]),
    st.sampled_from(Level),
    st.booleans(),
    st.booleans(),
)
def test_undoing_every_measure_gives_the_bill_of_level_off(
    call: Call, level: Level, cached: bool, warm: bool
) -> None:
    """Found from a level's own bill and what it left out, against the bill that
    was simulated without saving; answers as long and nothing cut back, which
    can't be undone."""
    saved, off, found = undone(call, level, cached=cached, warm=warm)
    assert found.actual_micros + saved.transcription_micros == pytest.approx(saved.micros, abs=1)
    whole = off.micros - off.transcription_micros
    # steps of 64 tokens fall elsewhere: up to 63 of audio in each response
    assert found.would_be_micros == pytest.approx(whole, rel=0.05)
    assert sum(found.saved.values()) == found.would_be_micros - found.actual_micros


def test_each_measure_is_credited_with_its_own() -> None:
    found = bill(Level.ECONOMY)
    saved = compare(found.answered, MODEL_CALL.head_tokens, PRICES, NOW_S).saved
    assert list(saved) == list(Measure)
    assert all(micros > 0 for measure, micros in saved.items() if measure is not Measure.SILENCE)
    # the provider's turn detection leaves it out of the bill, sent or not
    assert saved[Measure.SILENCE] == 0
    assert saved[Measure.ROUTING] > saved[Measure.TEXT]


def test_nothing_left_out_is_nothing_saved() -> None:
    plain = Answered(FULL, FULL, Usage(input_text=100, output_audio=10))
    found = compare([plain, plain], 100, PRICES, NOW_S)
    assert found.actual_micros == found.would_be_micros > 0
    assert set(found.saved.values()) == {0}


GREETING = Answered(FULL, FULL, phrase_ms=1_000, phrase_chars=20)


def test_a_greeting_that_was_a_file() -> None:
    found = compare([GREETING], 1_000, PRICES, NOW_S)
    assert (found.actual_micros, found.saved[Measure.STABLE_PROMPT]) == (0, 0)
    # 1,000 tokens of text to read, 20 of audio and 5 of text to say
    assert found.would_be_micros == 1_000 * 4 + 20 * 64 + 5 * 24


def test_a_cache_that_fails_is_not_credited() -> None:
    """What the first answer read is cached for the second, or it is not: then a
    greeting would have helped nobody."""
    first = Answered(FULL, FULL, Usage(input_text=1_000))
    works = Answered(FULL, FULL, Usage(input_text=1_000, cached_text=960))
    saved = [
        compare([GREETING, first, second], 1_000, PRICES, NOW_S).saved[Measure.PHRASES]
        for second in (first, works)
    ]
    # where it works the greeting's 960 tokens are cached for the first answer
    assert saved[0] - saved[1] > 960 * (4 - 0.4)


# ---------------------------------------------------------------- calls


def test_the_same_seed_makes_the_same_calls() -> None:
    assert generate(Random(3), 8) == CALLS
    assert generate(Random(4), 8) != CALLS


@pytest.mark.parametrize("mean_s", [60.0, 180.0])
def test_calls_last_as_long_as_is_asked(mean_s: float) -> None:
    calls = generate(Random(1), 200, mean_s)
    assert sum(call.duration_ms for call in calls) / 200e3 == pytest.approx(mean_s, rel=0.2)


def test_recorded_calls() -> None:
    recorded = {
        "head_tokens": 900,
        "turns": [{"caller_ms": 1_000, "answer_ms": 2_000, "answer_chars": 5}],
    }
    (call,) = parse_calls([recorded])
    assert call.head_tokens == 900
    assert call.turns == (Turn(1_000, 2_000, caller_chars=14, answer_chars=5),)


def test_recorded_rows() -> None:
    rows = [
        {"call": "a", "caller_ms": "1000", "answer_ms": "2000", "tools": ""},
        {"call": "b", "caller_ms": "1", "answer_ms": "2", "tools": "1"},
        {"call": "a", "caller_ms": "3000", "answer_ms": "0", "tools": "0"},
    ]
    first, second = parse_rows(rows)
    assert [turn.caller_ms for turn in first.turns] == [1_000, 3_000]
    assert [turn.tools for turn in second.turns] == [1]


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([], "calls must be a list"),
        ({}, "calls must be a list"),
        ([1], r"calls\[0\] must be an object"),
        ([{}], r"calls\[0\].turns must be a list of 1 to"),
        ([{"turns": []}], r"calls\[0\].turns must be a list of 1 to"),
        ([{"turns": [{"caller_ms": 1}]}], r"turns\[0\].answer_ms is missing"),
        ([{"turns": [{"caller_ms": -1, "answer_ms": 0}]}], "caller_ms is -1: must be"),
        ([{"turns": [{"caller_ms": True, "answer_ms": 0}]}], "caller_ms is True: must be"),
        ([{"turns": [{"caller_ms": 1, "answer_ms": 0, "text": "x"}]}], "has text: must be of"),
        ([{"turns": [{"caller_ms": 1, "answer_ms": 0}], "head_tokens": 1.5}], "head_tokens is 1.5"),
    ],
)
def test_strange_records_are_refused(records: object, fault: str) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        parse_calls(records)


def test_strange_cells_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"caller_ms is '1\.5'"):
        parse_rows([{"call": "a", "caller_ms": "1.5", "answer_ms": "2"}])
