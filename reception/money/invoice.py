"""A provider's itemised invoice: each response and each transcription that it bills.

Rows, as CSV or a JSON list, with `kind` (response or transcription), the provider's `id`
of it, `model`, and what it used: of a response the counts of `Usage`, where cached is a
part of input; of a transcription `input_audio` and `output_text`, or `seconds`. `at`, the
time at which it was made, may be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from reception.errors import InvalidRequest
from reception.money.case import RESPONSE, TRANSCRIPTION
from reception.money.prices import PriceTable, whole_ms
from reception.money.rows import count_of, fields_of, has, wrong
from reception.provider.base import Usage

KINDS = (RESPONSE, TRANSCRIPTION)
MAX_ITEMS = 100_000
MAX_ID_CHARS, MAX_MODEL_CHARS = 200, 128
MAX_COUNT = 10**12
"""Of tokens, or of milliseconds."""

_SECONDS = "seconds"
_TOKENS = tuple(each.name for each in fields(Usage))
_USED = {RESPONSE: _TOKENS, TRANSCRIPTION: ("input_audio", "output_text", _SECONDS)}
_FILE = "invoice"
_fields = partial(fields_of, file=_FILE)
_count = partial(count_of, file=_FILE, most=MAX_COUNT)
_wrong = partial(wrong, file=_FILE)

Key = tuple[str, str]
"""An item's kind and id."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a provider bills for one response or one transcription.

    Attributes:
        id: as the provider names it: unique among its responses, or transcriptions.
        seconds: of audio, of a transcription that is billed by time.
        at_s: when it was made (UNIX seconds); None where the invoice does not say.
    """

    kind: str
    id: str
    model: str
    tokens: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    at_s: float | None = None

    @property
    def key(self) -> Key:
        return self.kind, self.id

    @property
    def audio_ms(self) -> int:
        return whole_ms(self.seconds)

    def cost(self, model: str, prices: PriceTable, at_s: float) -> int:
        """Micro-dollars, at a model's price at a time.

        Raises:
            InvalidRequest: it had none.
        """
        tokens = self.tokens
        if self.kind == RESPONSE:
            return prices.cost(tokens, model, at_s)
        return prices.transcription_cost(
            model, self.seconds, tokens.input_audio, tokens.output_text, at_s
        )


def parse_items(rows: Iterable[Any]) -> tuple[Item, ...]:
    """The items of an invoice.

    Raises:
        InvalidRequest: names the row, the field, its value and its bound.
    """
    found: dict[Key, Item] = {}
    for number, given in enumerate(rows, 1):
        if number > MAX_ITEMS:
            raise InvalidRequest(f"an invoice has at most {MAX_ITEMS} items", field=_FILE)
        item = _item(number, _fields(number, given))
        if item.key in found:
            raise _wrong(number, "id", item.id, f"that of one {item.kind} only: it is here twice")
        found[item.key] = item
    if not found:
        raise InvalidRequest("the invoice has no items: needs one at least", field=_FILE)
    return tuple(found.values())


def _item(number: int, row: Mapping[str, Any]) -> Item:
    kind = row.get("kind")
    if kind not in KINDS:
        raise _wrong(number, "kind", kind, f"one of {', '.join(KINDS)}")
    used = _USED[kind]
    if not any(has(row, name) for name in used):
        raise _wrong(number, "what it used", None, f"one at least of {', '.join(used)}")
    tokens = Usage(**{name: _count(number, name, row[name]) for name in _TOKENS if has(row, name)})
    for name in _TOKENS:
        if name not in used and getattr(tokens, name):
            raise _wrong(number, name, row[name], f"0: a {kind} has {', '.join(used)}")
    for what in ("text", "audio", "image"):
        cached, whole = getattr(tokens, f"cached_{what}"), getattr(tokens, f"input_{what}")
        if cached > whole:
            raise _wrong(number, f"cached_{what}", cached, f"at most input_{what}, {whole}")
    return Item(
        kind,
        _text(number, "id", row.get("id"), MAX_ID_CHARS),
        _text(number, "model", row.get("model"), MAX_MODEL_CHARS),
        tokens,
        _seconds(number, row[_SECONDS], kind) if has(row, _SECONDS) else 0.0,
        _time(number, row["at"]) if has(row, "at") else None,
    )


def _text(number: int, name: str, value: Any, most: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise _wrong(number, name, value, f"text of 1 to {most} characters")
    return value


def _seconds(number: int, value: Any, kind: str) -> float:
    most = 0 if kind == RESPONSE else MAX_COUNT // 1_000
    try:
        seconds = Decimal(str(value))
    except InvalidOperation:
        seconds = Decimal(-1)
    if not seconds.is_finite() or not 0 <= seconds <= most:
        raise _wrong(number, _SECONDS, value, f"0 to {most} for a {kind}")
    return float(seconds)


def _time(number: int, value: Any) -> float:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _wrong(number, "at", value, "a time as 2026-11-24T10:30:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
