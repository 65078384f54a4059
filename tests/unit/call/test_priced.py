"""Models that profiles name have prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reception.call.priced import check_models
from reception.errors import InvalidRequest
from reception.money.prices import ModelPrice, PriceTable, TokenPrice
from tests.unit.call.example import PROFILE

COSTLY = TokenPrice(1, 1, 1)
TABLE = PriceTable(
    "1",
    {
        "speaks": (ModelPrice(0.0, COSTLY, COSTLY, COSTLY, hold_micros_per_minute=1),),
        "writes": (ModelPrice(0.0, pico_per_ms=1),),
    },
)
GOOD = replace(PROFILE, model="", cheaper_model="speaks", transcription_model="writes")


def test_what_has_a_price_is_right() -> None:
    check_models([GOOD, replace(GOOD, model="speaks", transcription_model="")], TABLE, 1.0)
    check_models([replace(GOOD, transcription_model="speaks")], TABLE, 1.0)


@pytest.mark.parametrize(
    ("field", "model", "wrong"),
    [("model", "gone", "has no price"), ("cheaper_model", "gone", "has no price"),
     ("cheaper_model", "writes", "is billed by time"),
     ("transcription_model", "gone", "has no price")],
)  # fmt: skip
def test_what_has_none_is_named(field: str, model: str, wrong: str) -> None:
    changed: dict[str, Any] = {"name": "night", field: model}
    bad = replace(GOOD, **changed)
    with pytest.raises(InvalidRequest, match=wrong) as raised:
        check_models([GOOD, bad], TABLE, 1.0)
    assert raised.value.field == f"profiles.night.{field}"
    assert raised.value.message.startswith(f"profiles.night.{field}: model {model!r}")
