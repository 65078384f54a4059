"""The overview of the cost singleton, over calls that were really billed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.cost import CostController
from actors.overview import TOP
from reception.errors import InvalidRequest
from reception.money.overview import MAX_SCOPES
from tests.actors.test_cost_reports import MODEL, NOON_S, TURN, clock, cost, talk
from tests.fakes.clock import Clock

__all__ = ["clock", "cost"]  # fixtures

DAY_S = 86_400
PRICES = Path(__file__).parents[2] / "config" / "prices.yaml"
SPLIT = ("parts", "profiles", "tenants")


def _sums(found: dict[str, Any], what: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in found["rows"]:
        for name, micros in row[what].items():
            sums[name] = sums.get(name, 0) + micros
    return sums


async def test_what_was_spent_is_split_and_adds_up_to_the_report(
    cost: CostController, clock: Clock
) -> None:
    one = await talk(cost, clock, 1, at_s=NOON_S - 2 * DAY_S, turns=3)
    two = await talk(cost, clock, 2, at_s=NOON_S - 90, tenant="b", profile="night", turns=2)
    live = await talk(cost, clock, 3, at_s=NOON_S - 80, lasted_s=None)
    await cost.transcription("s2", "i1", "gpt-4o-mini-transcribe", 4.0, 0, 0)
    await cost.adjust("s1", "a1", -5, "anna", "goodwill")
    clock.now_s = NOON_S
    for by, shown in (("day", 2), ("hour", 2)):
        found = await cost.overview(by)
        report = await cost.report(by)
        assert len(found["rows"]) == shown
        assert found["total"] == report["total"]
        for row, reported in zip(found["rows"], report["rows"], strict=True):
            assert {name: row[name] for name in reported} == reported
            for what in SPLIT:
                assert sum(row[what].values()) == row["cost_micros"], what
    assert _sums(found, "tenants") == {"acme": one + live - 5, "b": two + 200}
    assert _sums(found, "profiles") == {"day": one + live - 5, "night": two + 200}
    parts = _sums(found, "parts")
    assert (parts["transcription"], parts["correction"]) == (200, -5)
    price = cost._prices.price(MODEL, NOON_S)
    answers = TURN.output_audio * price.audio.output * 6 // 1_000_000
    assert parts["audio_out"] == pytest.approx(answers, abs=6)


async def test_days_are_the_zones_and_the_figure_is_of_whole_ones(
    cost: CostController, clock: Clock
) -> None:
    await talk(cost, clock, 1, at_s=NOON_S - 100)
    clock.now_s = NOON_S
    found = await cost.overview("day", "2026-11-20", "2026-11-24T12:30")
    assert found["zone"] == "Europe/Berlin"
    begins, ends = (datetime.fromisoformat(f"2026-11-{day}T00:00+01:00") for day in (20, 25))
    assert (found["starts_at_s"], found["ends_at_s"]) == (begins.timestamp(), ends.timestamp())
    [row] = (await cost.overview("hour", "2026-11-24", "2026-11-24T13:00"))["rows"]
    assert row["ends_at_s"] == row["starts_at_s"] + 3_600
    whole = await cost.overview("day", "2026-11-20", "2026-11-24")
    assert whole["ends_at_s"] == begins.timestamp() + 4 * DAY_S


async def test_what_was_saved_by_which_measure(cost: CostController, clock: Clock) -> None:
    for nth, stats in enumerate([
        {}, {"saved_micros": 300, "saved_phrases_micros": 300},
        {"saved_micros": 50, "saved_phrases_micros": 20, "saved_stable_prompt_micros": 30},
    ]):  # fmt: skip
        await talk(cost, clock, nth, at_s=NOON_S - 100 + nth, stats=stats)
    clock.now_s = NOON_S
    found = await cost.overview("day")
    assert _sums(found, "saved") == {"phrases": 320, "stable_prompt": 30}
    assert found["rows"][0]["saved_micros"] == 350


async def test_a_model_without_a_price_is_other(cost: CostController, clock: Clock) -> None:
    spent = await talk(cost, clock, 1, at_s=NOON_S - 100)
    table = yaml.safe_load(PRICES.read_text(encoding="utf-8"))
    del table["models"][MODEL]
    await cost.set_prices(yaml.safe_dump(table | {"version": "9"}), "anna")
    await cost.adjust("s1", "a1", -5, "anna", "a commit, from which on they count")
    clock.now_s = NOON_S
    found = await cost.overview("day")
    assert _sums(found, "parts") == {"other": spent, "correction": -5}


async def test_the_top_has_the_dearest_and_how_many_more(
    cost: CostController, clock: Clock
) -> None:
    for nth in range(TOP + 2):
        await talk(
            cost, clock, nth, at_s=NOON_S - 100 + nth, turns=1 + nth % 3, number=f"tel:{nth}"
        )
    clock.now_s = NOON_S
    top = (await cost.overview("day"))["top"]
    assert (len(top["number"]["rows"]), top["number"]["left_out"]) == (TOP, 2)
    assert (len(top["call"]["rows"]), top["call"]["left_out"]) == (TOP, 2)
    costs = [row["cost_micros"] for row in top["call"]["rows"]]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == 3 * costs[-1]
    assert top["call"]["rows"][0]["responses"] == 3
    assert [row["tenant"] for row in top["tenant"]["rows"]] == ["acme"]


async def test_limits_come_with_what_is_foreseen(cost: CostController, clock: Clock) -> None:
    await cost.set_limit("tenant:*", "day", 1_000_000, "anna")
    await cost.set_limit("tenant:acme", "call", 500_000, "anna")
    await talk(cost, clock, 1, at_s=NOON_S - 100)
    for nth in range(MAX_SCOPES):
        await talk(cost, clock, 10 + nth, at_s=NOON_S - 80, tenant=f"t{nth}", turns=3)
    clock.now_s = NOON_S
    found = await cost.overview("day")
    scopes = [each.get("of", each["scope"]) for each in found["limits"]]
    assert scopes[:4] == ["global"] * 4
    assert len(set(scopes)) == MAX_SCOPES
    assert "tenant:acme" not in scopes
    assert found["limits_left_out"] == 2
    assert list(found["forecasts"]) == list(dict.fromkeys(scopes))[:8]
    assert found["forecasts"]["global"] == await cost.forecast()


async def test_nothing_is_an_overview_too(cost: CostController) -> None:
    found = await cost.overview("hour", "1d")
    assert (found["rows"], found["total"]["calls"]) == ([], 0)
    assert all(top == {"rows": [], "left_out": 0} for top in found["top"].values())


@pytest.mark.parametrize(
    ("asked", "field", "text"),
    [
        (("call",), "by", "by is 'call': must be hour or day"),
        (("hour", "40d"), "by", "must be day for more than 31 days"),
        (("day", "soon"), "since", "since is 'soon'"),
        (("day", "", "later"), "until", "until is 'later'"),
    ],
)
async def test_what_there_is_no_overview_of(
    cost: CostController, asked: tuple[str, ...], field: str, text: str
) -> None:
    with pytest.raises(InvalidRequest, match=text) as caught:
        await cost.overview(*asked)
    assert caught.value.field == field
