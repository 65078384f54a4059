"""A provider's own count of tokens against ours, by UTC day and model.

Two forms are read. Ours: rows with `day` (2026-11-24), `model` and any of COUNTS, as
CSV or as a JSON list. OpenAI's: pages of `GET /v1/organization/usage/completions`,
grouped by model. There `input_tokens` and `output_tokens` are sums over text, audio
and images; `input_text_tokens` and `input_audio_tokens` are those that were not
cached, beside `input_cached_…` (as the openai package documents the answer). Where it
does not tell text from audio, the sums are compared alone.

A model's dated name (gpt-realtime-2.1-2026-05-06) is the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from reception.errors import InvalidRequest
from reception.money.rows import count_of, fields_of, has, wrong

SUMS = {
    "input": ("input_text", "input_audio", "input_image"),
    "cached": ("cached_text", "cached_audio", "cached_image"),
    "output": ("output_text", "output_audio"),
}
"""Counts that are made of others. Cached is a part of input."""

COUNTS = (*(name for parts in SUMS.values() for name in parts), *SUMS)

_DAY_S = 86_400
_DATED = re.compile(r"-20\d\d-\d\d-\d\d$")
_COMPLETIONS = "organization.usage.completions.result"

_fields = partial(fields_of, file="usage_export")
_count = partial(count_of, file="usage_export")
_wrong = partial(wrong, file="usage_export")

Key = tuple[str, str]
"""A day and a model."""


@dataclass(frozen=True, slots=True)
class Export:
    """What a provider counted in a span (UNIX seconds), for each day and model the
    counts that it gives."""

    since_s: float
    until_s: float
    counts: Mapping[Key, Mapping[str, int]]


def model_name(name: str) -> str:
    """A model's name without its date."""
    return _DATED.sub("", name)


# ------------------------------------------------------------------ our form


def parse_rows(rows: Iterable[Any]) -> Export:
    """Rows of day, model and counts; the span is from the first day to the last.

    Raises:
        InvalidRequest: names the row and what is wrong with it.
    """
    found: dict[Key, dict[str, int]] = {}
    for number, given in enumerate(rows, 1):
        row = _fields(number, given)
        day, model = _day(number, row.get("day")), row.get("model")
        if not isinstance(model, str) or not model:
            raise _wrong(number, "model", model, "a model's name")
        counts = {name: _count(number, name, row[name]) for name in COUNTS if has(row, name)}
        if not counts:
            raise _wrong(number, "counts", None, f"one at least of {', '.join(COUNTS)}")
        _add(found, (day, model_name(model)), counts)
    if not found:
        raise InvalidRequest("the export has no rows: needs one at least", field="usage_export")
    starts = [_start_of(day) for day, _ in found]
    return Export(min(starts), max(starts) + _DAY_S, found)


def _day(number: int, value: Any) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise _wrong(number, "day", value, "a date as 2026-11-24") from None


def _start_of(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


# ------------------------------------------------------------------ OpenAI's form


def parse_openai(value: Any) -> Export:
    """A page, or a list of pages or of buckets.

    Raises:
        InvalidRequest: names the bucket and what is wrong with it.
    """
    found: dict[Key, dict[str, int]] = {}
    spans: list[tuple[float, float]] = []
    for number, bucket in enumerate(_buckets(value), 1):
        start_s = _count(number, "start_time", bucket.get("start_time"))
        end_s = _count(number, "end_time", bucket.get("end_time"))
        if end_s <= start_s or start_s // _DAY_S != (end_s - 1) // _DAY_S:
            raise _wrong(number, "end_time", end_s, "after start_time, within the same UTC day")
        spans.append((start_s, end_s))
        day = datetime.fromtimestamp(start_s, UTC).date().isoformat()
        results = bucket.get("results") or []
        for given in results if isinstance(results, list) else [results]:
            result = _fields(number, given)
            if result.get("object", _COMPLETIONS) == _COMPLETIONS:
                model = result.get("model")
                if not isinstance(model, str) or not model:
                    raise _wrong(number, "model", model, "given: ask with group_by=model")
                _add(found, (day, model_name(model)), _counts(number, result))
    if not spans:
        raise InvalidRequest("the export has no buckets: needs one at least", field="usage_export")
    return Export(min(start for start, _ in spans), max(end for _, end in spans), found)


def _buckets(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [bucket for each in value for bucket in _buckets(each)]
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        return _buckets(value["data"])
    if isinstance(value, dict) and "start_time" in value:
        return [value]
    raise InvalidRequest(
        "the export is no page of organization/usage/completions: must have data with "
        "start_time, end_time and results",
        field="usage_export",
    )


def _counts(number: int, result: Mapping[str, Any]) -> dict[str, int]:
    def of(*names: str) -> int:
        return sum(_count(number, name, result.get(name) or 0) for name in names)

    counts = {
        "input": of("input_tokens"),
        "cached": of("input_cached_tokens"),
        "output": of("output_tokens"),
    }
    if result.get("input_cached_audio_tokens") is not None:
        cached_audio = of("input_cached_audio_tokens")
        input_audio = of("input_audio_tokens") + cached_audio
        cached_image = of("input_cached_image_tokens")
        input_image = of("input_image_tokens") + cached_image
        output_audio = of("output_audio_tokens")
        counts |= {
            "input_audio": input_audio,
            "input_image": input_image,
            "input_text": counts["input"] - input_audio - input_image,
            "cached_audio": cached_audio,
            "cached_image": cached_image,
            "cached_text": counts["cached"] - cached_audio - cached_image,
            "output_audio": output_audio,
            "output_text": counts["output"] - output_audio,
        }
    return counts


# ------------------------------------------------------------------ the comparison


def compare(export: Export, ours: Mapping[Key, Mapping[str, int]]) -> list[str]:
    """Where the provider's counts are not ours; [] is good.

    Args:
        ours: by day and model within the export's span, with the six counts of SUMS.
    """
    names: dict[Key, None] = dict.fromkeys(sorted({*export.counts, *ours}))
    return [text for key in names for text in _differences(key, export.counts.get(key), ours)]


def _differences(
    key: Key, theirs: Mapping[str, int] | None, ours: Mapping[Key, Mapping[str, int]]
) -> list[str]:
    own = dict(ours.get(key, {}))
    for name, parts in SUMS.items():
        own[name] = sum(own.get(part, 0) for part in parts)
    if theirs is None:
        theirs = {} if not any(own.values()) else {"input": 0, "output": 0}
    finer = {name for name, parts in SUMS.items() if all(part in theirs for part in parts)}
    day, model = key
    return [
        f"{day} {model} {name}: the provider counts {theirs[name]} tokens, we {own.get(name, 0)} "
        f"({own.get(name, 0) - theirs[name]:+d})"
        for name in COUNTS
        if name in theirs and name not in finer and theirs[name] != own.get(name, 0)
    ]


def _add(found: dict[Key, dict[str, int]], key: Key, counts: Mapping[str, int]) -> None:
    known = found.setdefault(key, {})
    for name, count in counts.items():
        known[name] = known.get(name, 0) + count
