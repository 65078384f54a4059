"""What a model costs: a dated price table, and exact cost of what was used.

Prices are kept in pico-dollars (10^-12), so that every price in the table is an
integer: 4 dollars for a million tokens are 4,000,000 pico-dollars a token. The
cost of one response is summed in pico-dollars and rounded once, half up, to
whole micro-dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from reception.errors import InvalidRequest
from reception.provider.base import Usage

PICOS_PER_MICRO = 1_000_000
CALLER_TOKENS_PER_S = 10
"""Caller audio is counted as one token for each 100 ms."""

_MAX_DOLLARS = Decimal(1_000_000)
_FACTORS = Decimal("0.1"), Decimal(10)
_MS_PER_S = 1_000
_FACTOR = "regional_factor"
_HELD = ("hold_usd_per_minute", "hold_usd_per_answer")


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """Pico-dollars a token of one kind (text, audio or image)."""

    input: int = 0
    cached: int = 0
    output: int = 0


_EACH = tuple(each.name for each in fields(TokenPrice))


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Prices of one model from a day on.

    Attributes:
        valid_from_s: UNIX time of that day's beginning (UTC).
        pico_per_ms: for a millisecond of audio, where it is billed by time;
            0 where it is billed by tokens.
        hold_micros_per_minute: what a minute of a call costs at most, nearly:
            the rate at which money is held before it is spent.
        hold_micros_per_answer: what one answer costs at most; a call's slice
            covers two. 0 where that is not known.
        image: that of text where an entry has none, so that images are never free.
        simulated: nobody charges this; the price only shows what it would be.
        source: where the price was read.
    """

    valid_from_s: float
    text: TokenPrice = TokenPrice()
    audio: TokenPrice = TokenPrice()
    image: TokenPrice = TokenPrice()
    pico_per_ms: int = 0
    hold_micros_per_minute: int = 0
    hold_micros_per_answer: int = 0
    simulated: bool = False
    source: str = ""

    @property
    def speaks(self) -> bool:
        """Whether it is meant for calls, and not only for writing down what was said."""
        return not self.pico_per_ms and bool(self.audio.output or self.hold_micros_per_minute)

    def free(self) -> str:
        """What a call could use without being billed or held for it, by its name in the
        table; "" if nothing is free, or if nobody charges it."""
        if self.simulated:
            return ""
        for kind in ("text", "audio", "image"):
            price = getattr(self, kind)
            for name in _EACH:
                made = kind != "image" or name != "output"  # no model makes images in a call
                if made and not getattr(price, name):
                    return f"{kind}.{name}"
        return "" if self.hold_micros_per_minute else _HELD[0]


@dataclass(frozen=True, slots=True)
class PriceTable:
    """All models' prices; each model's are sorted by `valid_from_s`.

    regional: they are those of a data residency region, where that makes a difference.
    """

    version: str
    models: Mapping[str, tuple[ModelPrice, ...]]
    regional: bool = False

    def price(self, model: str, at_s: float) -> ModelPrice:
        """The price of `model` at UNIX time `at_s`.

        Raises:
            InvalidRequest: the model has no price then; nothing is ever free
                because it is unknown.
        """
        priced = [p for p in self.models.get(model, ()) if p.valid_from_s <= at_s]
        if not priced:
            raise InvalidRequest(
                f"model {model!r} has no price in the table of {self.version}: "
                "add it to the file that REALTIME_PRICES_PATH names",
                field="model",
            )
        return priced[-1]

    def priced_at(self, model: str, used_at_s: float | None, now_s: float) -> float:
        """The UNIX time at whose price a use is billed: its own (None: not known), unless
        that is to come yet, or the model had no price then."""
        prices = self.models.get(model, ())
        if used_at_s is None or not prices:
            return now_s
        return used_at_s if prices[0].valid_from_s <= used_at_s <= now_s else now_s

    def check_call(self, model: str, at_s: float) -> None:
        """Before a call is answered by `model`: nothing that it uses is free.

        Raises:
            InvalidRequest: it has no price, is billed by time, or lacks a price.
        """
        price = self._of_tokens(model, at_s, "calls are answered only by models with")
        if free := price.free():
            raise InvalidRequest(
                f"model {model!r} has {free} 0 in the table of {self.version}: must be above 0 "
                "for a model that answers calls, unless it is simulated",
                field="model",
            )

    def _of_tokens(self, model: str, at_s: float, needed: str) -> ModelPrice:
        """The price of a model that is not billed by time. Raises InvalidRequest."""
        price = self.price(model, at_s)
        if price.pico_per_ms:
            text = f"model {model!r} is billed by time (usd_per_second): {needed} prices of tokens"
            raise InvalidRequest(text, field="model")
        return price

    def check_calls(self) -> None:
        """Whether every model that is meant for calls has all that a call is billed by.

        Raises:
            InvalidRequest: names the entry, what is 0 in it, and the bound.
        """
        for model, prices in self.models.items():
            for price in prices:
                if price.speaks and (free := price.free()):
                    day = datetime.fromtimestamp(price.valid_from_s, UTC).date()
                    raise InvalidRequest(
                        f"models.{model} from {day} has {free} 0: must be above 0 for a model "
                        "that answers calls, unless it is simulated",
                        field=f"models.{model}.{free}",
                    )

    def cost(self, usage: Usage, model: str, at_s: float) -> int:
        """Micro-dollars of one response.

        Raises:
            InvalidRequest: no price, none of tokens, or counts that can't be
                (negative, or more cached tokens than input tokens).
        """
        price = self._of_tokens(model, at_s, "a response needs")
        _check_counts(usage)
        picos = (
            (usage.input_text - usage.cached_text) * price.text.input
            + usage.cached_text * price.text.cached
            + usage.output_text * price.text.output
            + (usage.input_audio - usage.cached_audio) * price.audio.input
            + usage.cached_audio * price.audio.cached
            + usage.output_audio * price.audio.output
            + (usage.input_image - usage.cached_image) * price.image.input
            + usage.cached_image * price.image.cached
        )
        return to_micros(picos)

    def transcription_cost(
        self, model: str, seconds: float, input_tokens: int, output_tokens: int, at_s: float
    ) -> int:
        """Micro-dollars of transcribing one item.

        A model that is billed by time and reported in tokens is charged for
        the time that its input tokens stand for.

        Args:
            seconds: of audio; 0 where tokens are reported instead.

        Raises:
            InvalidRequest: no price, or a negative count.
        """
        price = self.price(model, at_s)
        if not 0 <= seconds < float("inf") or input_tokens < 0 or output_tokens < 0:
            raise InvalidRequest(
                f"transcription usage of {seconds} s, {input_tokens} and {output_tokens} tokens "
                "is not possible: counts are 0 or more",
                field="usage",
            )
        if not price.pico_per_ms:
            return to_micros(input_tokens * price.audio.input + output_tokens * price.text.output)
        if seconds:
            return to_micros(_round(Decimal(str(seconds)) * _MS_PER_S) * price.pico_per_ms)
        return to_micros(input_tokens * _MS_PER_S // CALLER_TOKENS_PER_S * price.pico_per_ms)

    def hold(self, model: str, seconds: int, at_s: float) -> int:
        """Micro-dollars to hold for `seconds` of a call, rounded up."""
        rate = self.price(model, at_s).hold_micros_per_minute
        return -(-rate * seconds // 60)


def whole_ms(seconds: float) -> int:
    """Milliseconds of audio, as they are noted in a bill: what is less than one is left out."""
    return int(Decimal(str(seconds)) * _MS_PER_S)


def to_micros(picos: int) -> int:
    """Whole micro-dollars, half up. `picos` is 0 or more."""
    return (picos + PICOS_PER_MICRO // 2) // PICOS_PER_MICRO


def parse_prices(data: Any, *, regional: bool = False) -> PriceTable:
    """A price table from what a YAML file holds (see config/prices.yaml).

    Dollars may be numbers or text; a binary fraction counts as its shortest
    decimal form, which is what was written.

    Args:
        regional: each price, and what is held, is times its entry's regional_factor,
            rounded half up to the unit that it is kept in.

    Raises:
        InvalidRequest: names the entry, its value and what it must be.
    """
    table = _mapping(data, "prices")
    _no_others(table, {"version", "models"}, "prices")
    version = table.get("version")
    if not version:
        raise InvalidRequest("prices: version is missing", field="version")
    models = _mapping(table.get("models"), "models")
    if not models:
        raise InvalidRequest("prices: models is empty", field="models")
    return PriceTable(
        str(version),
        {str(name): _versions(found, f"models.{name}", regional) for name, found in models.items()},
        regional,
    )


def _versions(found: Any, where: str, regional: bool) -> tuple[ModelPrice, ...]:
    if not isinstance(found, list) or not found:
        raise InvalidRequest(f"{where} must be a list of dated prices", field=where)
    prices = [_model(entry, f"{where}[{index}]", regional) for index, entry in enumerate(found)]
    prices.sort(key=lambda price: price.valid_from_s)
    if len({price.valid_from_s for price in prices}) < len(prices):
        raise InvalidRequest(f"{where} has two prices of the same day", field=where)
    return tuple(prices)


def _model(found: Any, where: str, regional: bool) -> ModelPrice:
    entry = _mapping(found, where)
    kinds = ("text", "audio", "image")
    others = {"valid_from", "source", "simulated", "usd_per_second", _FACTOR}
    known = {*others, *_HELD, *kinds}
    _no_others(entry, known, where)
    per_second = "usd_per_second" in entry
    if per_second == any(kind in entry for kind in kinds):
        raise InvalidRequest(
            f"{where} must have either usd_per_second or prices of tokens", field=where
        )
    factor = _factor(entry.get(_FACTOR, 1), f"{where}.{_FACTOR}")
    times = factor if regional else Decimal(1)
    tokens = {
        kind: _tokens(entry[kind], f"{where}.{kind}", times) for kind in kinds if kind in entry
    }
    if "text" in tokens:
        of_text = {name: getattr(tokens["text"], name) for name in ("input", "cached")}
        given = entry.get("image", {})
        images = {name: getattr(tokens["image"], name) for name in given}
        tokens["image"] = TokenPrice(**of_text | images)
    simulated = entry.get("simulated", False)
    if not isinstance(simulated, bool):
        raise InvalidRequest(f"{where}.simulated must be true or false", field=f"{where}.simulated")
    held = [_dollars(entry.get(name, 0), 6, f"{where}.{name}", times) for name in _HELD]
    return ModelPrice(
        valid_from_s=_day(entry.get("valid_from"), f"{where}.valid_from"),
        pico_per_ms=_dollars(entry["usd_per_second"], 9, f"{where}.usd_per_second", times)
        if per_second
        else 0,
        hold_micros_per_minute=held[0],
        hold_micros_per_answer=held[1],
        simulated=simulated,
        source=str(entry.get("source", "")),
        **tokens,
    )


def _tokens(found: Any, where: str, times: Decimal) -> TokenPrice:
    """Dollars for a million tokens, as pico-dollars a token."""
    entry = _mapping(found, where)
    _no_others(entry, {field.name for field in fields(TokenPrice)}, where)
    return TokenPrice(**{str(k): _dollars(v, 6, f"{where}.{k}", times) for k, v in entry.items()})


def _factor(value: Any, where: str) -> Decimal:
    factor, (least, most) = _decimal(value), _FACTORS
    if isinstance(value, bool) or not (factor.is_finite() and least <= factor <= most):
        raise InvalidRequest(f"{where} is {value!r}: must be {least} to {most}", field=where)
    return factor


def _dollars(value: Any, places: int, where: str, times: Decimal) -> int:
    """`value` dollars in units of 10^-places, in which it must be whole, so many times."""
    dollars = _decimal(value)
    scaled = dollars.scaleb(places) if dollars.is_finite() else Decimal(-1)
    if isinstance(value, bool) or scaled < 0 or dollars > _MAX_DOLLARS or scaled % 1:
        raise InvalidRequest(
            f"{where} is {value!r}: must be dollars from 0 to {_MAX_DOLLARS}, "
            f"with at most {places} decimal places",
            field=where,
        )
    return _round(scaled * times)


def _decimal(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return Decimal(-1)


def _day(value: Any, where: str) -> float:
    try:
        day = value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise InvalidRequest(
            f"{where} is {value!r}: must be a day, as in 2026-11-01", field=where
        ) from None
    return datetime.combine(day, time(), UTC).timestamp()


def _mapping(value: Any, where: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{where} must be a mapping of names to values", field=where)
    return value


def _no_others(entry: Mapping[Any, Any], known: set[str], where: str) -> None:
    others = sorted(str(key) for key in entry if key not in known)
    if others:
        raise InvalidRequest(
            f"{where} has {', '.join(others)}: must be of {', '.join(sorted(known))}", field=where
        )


def _round(value: Decimal) -> int:
    return int(value + Decimal("0.5"))


def _check_counts(usage: Usage) -> None:
    for field in fields(Usage):
        if getattr(usage, field.name) < 0:
            raise InvalidRequest(
                f"{field.name} is {getattr(usage, field.name)}: must be 0 or more",
                field=field.name,
            )
    for kind in ("text", "audio", "image"):
        cached, total = getattr(usage, f"cached_{kind}"), getattr(usage, f"input_{kind}")
        if cached > total:
            raise InvalidRequest(
                f"cached_{kind} is {cached}: must be at most input_{kind}, {total}",
                field=f"cached_{kind}",
            )
