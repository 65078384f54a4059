"""What somebody who pays sees at a glance: what money went for over time, and the limits
that are near. Plain rows, of which figures are made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from functools import cache
from typing import Any

from reception.errors import InvalidRequest
from reception.money.case import RESPONSE, TRANSCRIPTION
from reception.money.prices import ModelPrice
from reception.money.reports import DAY_S, TIMES, Line, label, together
from reception.money.scopes import GLOBAL
from reception.money.windows import NAMES, OF_CALLS, Calendar, window_at
from reception.provider.base import Usage

PARTS = (
    "audio_out", "audio_in", "text_out", "text_in", "cached", "transcription", "correction",
    "other", "image_in",
)  # fmt: skip
"""What money goes for. "other": answers of a model that has no price any more."""

MAX_HOURS_DAYS = 31
"""Of a span that is shown by hours."""

MAX_SCOPES = 12
"""Whose limits are shown."""

Slots = Iterable[tuple[float, str, int]]
"""A slot's beginning (UNIX seconds), a name, and micro-dollars."""


def parts_of(kind: str, usage: Usage, price: ModelPrice | None, micros: int) -> dict[str, int]:
    """What bills of one model and kind were for; the parts add up to `micros`.

    Args:
        usage: of all of them together.
        price: the model's, by which what answers cost is shared out; None: it has none.
        micros: what they cost.
    """
    if kind != RESPONSE:
        return {"transcription" if kind == TRANSCRIPTION else "correction": micros}
    shares = _shares(usage, price) if price else {}
    whole = sum(shares.values())
    if whole <= 0:
        return {"other": micros}
    found, told, so_far = {}, 0, 0
    for name, share in shares.items():
        so_far += share
        upto = micros * so_far // whole
        if upto != told:
            found[name] = upto - told
        told = upto
    return found


def _shares(usage: Usage, price: ModelPrice) -> dict[str, int]:
    """Pico-dollars."""
    return {
        "audio_out": usage.output_audio * price.audio.output,
        "audio_in": (usage.input_audio - usage.cached_audio) * price.audio.input,
        "text_out": usage.output_text * price.text.output,
        "text_in": (usage.input_text - usage.cached_text) * price.text.input,
        "image_in": (usage.input_image - usage.cached_image) * price.image.input,
        "cached": usage.cached_text * price.text.cached
        + usage.cached_audio * price.audio.cached
        + usage.cached_image * price.image.cached,
    }


def over_time(
    lines: Iterable[tuple[float, Line]],
    split: Mapping[str, Slots],
    by: str,
    zone_name: str,
    zone: tzinfo,
) -> list[dict[str, Any]]:
    """A row for each hour or day in which calls began, in order.

    Args:
        lines: of slots (UNIX seconds of the beginning).
        split: sums that each row has under the same name, as {what: micro-dollars}.
        by: one of TIMES.

    Returns:
        A line's values, with its name under `by`, and `starts_at_s` and `ends_at_s`.
    """
    period, ends = Calendar(by, zone_name), dict[float, float]()

    @cache  # a slot comes with many names
    def start_of(at_s: float) -> float:
        window = window_at(period, at_s)
        ends[window.start_s] = window.end_s
        return window.start_s

    found: dict[float, list[Line]] = {}
    for at_s, line in lines:
        found.setdefault(start_of(at_s), []).append(line)
    sums = {name: _summed(slots, start_of) for name, slots in split.items()}
    return [
        {by: label(start_s, by, zone), "starts_at_s": start_s, "ends_at_s": ends[start_s]}
        | together(found[start_s]).plain()
        | {name: dict(each.get(start_s, {})) for name, each in sums.items()}
        for start_s in sorted(found)
    ]


def _summed(slots: Slots, start_of: Callable[[float], float]) -> dict[float, Counter[str]]:
    found: dict[float, Counter[str]] = defaultdict(Counter)
    for at_s, name, micros in slots:
        found[start_of(at_s)][name] += micros
    return found


def check(by: str, since_s: float, until_s: float) -> None:
    """Raises InvalidRequest when it can't be shown by that over such a span."""
    if by not in TIMES:
        raise InvalidRequest(
            f"by is {by[:40]!r}: must be {' or '.join(TIMES)}, as the page is over time",
            field="by",
        )
    if by == "hour" and until_s - since_s > MAX_HOURS_DAYS * DAY_S:
        raise InvalidRequest(
            f"by is 'hour': must be day for more than {MAX_HOURS_DAYS} days", field="by"
        )


def scope_of(limit: Mapping[str, Any]) -> str:
    """Whose money a limit that is shown counts."""
    return str(limit.get("of", limit["scope"]))


def nearest(limits: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Limits over a time of the whole deployment and of the scopes whose money is
    nearest to a limit, by scope; and how many of other scopes are left out.

    Args:
        limits: as the cost singleton shows them.
    """
    by_scope: dict[str, list[dict[str, Any]]] = {GLOBAL: []}
    for limit in limits:
        if "posted_micros" in limit:
            by_scope.setdefault(scope_of(limit), []).append(dict(limit))

    def order(scope: str) -> tuple[bool, float, str]:
        most = max((limit["percent"] for limit in by_scope[scope]), default=0.0)
        return scope != GLOBAL, -most, scope

    scopes = sorted(by_scope, key=order)
    shown = [
        limit
        for scope in scopes[:MAX_SCOPES]
        for limit in sorted(by_scope[scope], key=lambda limit: NAMES.index(limit["window"]))
    ]
    return shown, sum(len(by_scope[scope]) for scope in scopes[MAX_SCOPES:])


def to_foresee(limits: Sequence[Mapping[str, Any]], at_most: int) -> list[str]:
    """The first scopes of limits for which there is a forecast."""
    found = dict.fromkeys(scope_of(limit) for limit in limits if limit["window"] not in OF_CALLS)
    return list(found)[:at_most]
