"""A provider's itemised invoice as rows."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest

from reception.errors import InvalidRequest
from reception.money import invoice
from reception.money.invoice import Item, parse_items
from reception.money.prices import parse_prices
from reception.provider.base import Usage

MODEL, WORDS = "gpt-realtime-2.1", "whisper-1"
ANSWER = {
    "kind": "response", "id": "resp_1", "model": MODEL, "input_text": 100, "input_audio": 50,
    "cached_text": 40, "cached_audio": 10, "output_text": 7, "output_audio": 70,
}  # fmt: skip
SAID = {"kind": "transcription", "id": "item_1", "model": WORDS, "seconds": 4.25}
NOON_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
PRICES = parse_prices(
    {
        "version": "1",
        "models": {
            MODEL: [{"valid_from": "2026-01-01", "audio": {"input": 32, "output": 64}}],
            WORDS: [{"valid_from": "2026-01-01", "usd_per_second": "0.0001"}],
        },
    }
)


def test_rows_of_json() -> None:
    answer, said = parse_items([ANSWER | {"at": "2026-11-24T12:00:00Z"}, SAID])
    assert answer == Item("response", "resp_1", MODEL, Usage(100, 50, 40, 10, 7, 70), at_s=NOON_S)
    assert said == Item("transcription", "item_1", WORDS, seconds=4.25)
    assert (said.key, said.audio_ms) == (("transcription", "item_1"), 4_250)


def test_rows_of_csv() -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*ANSWER, "seconds", "at"])
    writer.writeheader()
    writer.writerows([ANSWER | {"at": "2026-11-24T13:00+01:00"}, SAID | {"at": "2026-11-24"}])
    text.seek(0)
    answer, said = parse_items(csv.DictReader(text))
    assert answer == Item("response", "resp_1", MODEL, Usage(100, 50, 40, 10, 7, 70), at_s=NOON_S)
    assert said == Item("transcription", "item_1", WORDS, seconds=4.25, at_s=NOON_S - 43_200)


def test_what_items_cost() -> None:
    answer, said, tokens = parse_items(
        [ANSWER, SAID, SAID | {"id": "item_2", "model": MODEL, "seconds": None, "input_audio": 9}]
    )
    assert answer.cost(MODEL, PRICES, NOON_S) == 40 * 32 + 70 * 64
    assert said.cost(WORDS, PRICES, NOON_S) == 425
    assert tokens.cost(MODEL, PRICES, NOON_S) == 9 * 32


@pytest.mark.parametrize(
    ("given", "changed", "text"),
    [
        (ANSWER, {"kind": "call"}, "row 2: kind is 'call': must be one of response, transc"),
        (ANSWER, {"id": ""}, "row 2: id is '': must be text of 1 to 200 characters"),
        (ANSWER, {"id": "x" * 201}, "text of 1 to 200"),
        (ANSWER, {"id": "a\x00"}, "text of 1 to 200"),
        (ANSWER, {"id": 7}, "row 2: id is 7"),
        (ANSWER, {"model": None}, "row 2: model is None: must be text of 1 to 128"),
        (ANSWER, {"input_text": "many"}, "row 2: input_text is 'many': must be a whole number of"),
        (ANSWER, {"output_audio": 10**12 + 1}, "must be a whole number of 0 to 1000000000000"),
        (
            ANSWER,
            {"cached_text": 101},
            "row 2: cached_text is 101: must be at most input_text, 100",
        ),
        (ANSWER, {"input_image": 5, "cached_image": 6}, "cached_image is 6: must be at most input"),
        (ANSWER, {"seconds": 1}, "row 2: seconds is 1: must be 0 to 0 for a response"),
        (ANSWER, {"at": "noon"}, "row 2: at is 'noon': must be a time as 2026-11-24T10:30:00Z"),
        (ANSWER, {"at": 5}, "row 2: at is 5"),
        (SAID, {"seconds": "long"}, "row 2: seconds is 'long': must be 0 to 1000000000 for a tr"),
        (SAID, {"seconds": "nan"}, "row 2: seconds is 'nan'"),
        (SAID, {"seconds": -1}, "row 2: seconds is -1"),
        (SAID, {"seconds": ""}, "row 2: what it used is None: must be one at least of input_audio"),
        (SAID, {"cached_text": 1}, "row 2: cached_text is 1: must be 0: a transcription has"),
        (ANSWER, {"id": "first"}, "row 2: id is 'first': must be that of one response only"),
    ],
)
def test_a_row_that_is_wrong(given: dict[str, Any], changed: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        parse_items([ANSWER | {"id": "first"}, given | changed])


def test_an_invoice_has_items_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="needs one at least"):
        parse_items([])
    with pytest.raises(InvalidRequest, match="row 1: it is 5: must be an object with fields"):
        parse_items([5])
    monkeypatch.setattr(invoice, "MAX_ITEMS", 1)
    with pytest.raises(InvalidRequest, match="at most 1 items"):
        parse_items([ANSWER, SAID])
