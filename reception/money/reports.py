"""Reports: what calls cost and used, by call, owner or time; as plain rows and as CSV.

A call counts where it began, with everything that it cost and used until now. So a
minute's or a call's cost is that of whole calls; by day it is not what a budget's day
has, which counts money when it is spent.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, tzinfo
from typing import Any

from reception.errors import InvalidRequest
from reception.money.scopes import KINDS
from reception.money.windows import Calendar, window_at

TIMES = ("hour", "day")
BY = ("call", *KINDS, *TIMES)
COMPLETED = ("completed", "caller_hangup", "transferred")
"""Why a call ended that came to its own end."""

DAY_S = 86_400
MAX_DAYS = 400
DEFAULT_DAYS = 30

_AGO = {"h": 3_600, "d": DAY_S, "w": 7 * DAY_S}
_MS_PER_MINUTE = 60_000
_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """Sums over calls. Cached tokens are a part of the input ones.

    Attributes:
        calls: all of them, live ones too.
        ended, talk_ms, ended_micros: calls that are over, how long they lasted, what
            they cost.
        completed: those of them that came to their own end (COMPLETED).
        transcribed_ms: the caller's audio that was transcribed apart, of models that are
            billed by time.
        transcriptions, transcription_input, transcription_output, transcription_micros: how
            many there were, tokens that they read and made, and their part of the cost.
        saved_micros: what calls that are over would have cost besides, with nothing saved.
    """

    calls: int = 0
    ended: int = 0
    completed: int = 0
    talk_ms: int = 0
    cost_micros: int = 0
    ended_micros: int = 0
    responses: int = 0
    input_text: int = 0
    input_audio: int = 0
    input_image: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    output_text: int = 0
    output_audio: int = 0
    transcriptions: int = 0
    transcribed_ms: int = 0
    transcription_input: int = 0
    transcription_output: int = 0
    transcription_micros: int = 0
    saved_micros: int = 0

    @property
    def cache_percent(self) -> float | None:
        """How much of the input came from the provider's cache; None without input."""
        whole = self.input_text + self.input_audio + self.input_image
        cached = self.cached_text + self.cached_audio + self.cached_image
        return round(100 * cached / whole, 1) if whole else None

    @property
    def micros_per_minute(self) -> int | None:
        """Of talk, of calls that are over; None without talk."""
        return round(self.ended_micros * _MS_PER_MINUTE / self.talk_ms) if self.talk_ms else None

    @property
    def micros_per_completed(self) -> int | None:
        """What all calls that are over cost, for each that was completed; None
        without one."""
        return round(self.ended_micros / self.completed) if self.completed else None

    def plain(self) -> dict[str, Any]:
        """As shown; micro-dollars."""
        return asdict(self) | {
            "cache_percent": self.cache_percent,
            "micros_per_minute": self.micros_per_minute,
            "micros_per_completed": self.micros_per_completed,
        }


_SUMS = tuple(field.name for field in fields(Line))


def together(lines: Iterable[Line]) -> Line:
    """The sum of lines."""
    rows = list(lines)
    return Line(**{name: sum(getattr(row, name) for row in rows) for name in _SUMS})


def by_time(
    slots: Iterable[tuple[float, Line]], by: str, zone_name: str, zone: tzinfo
) -> list[tuple[str, Line]]:
    """Hours or days in which a call began, in order.

    Args:
        slots: lines of slots (UNIX seconds of the beginning).
        by: one of TIMES.
    """
    found: dict[float, list[Line]] = {}
    for at_s, line in slots:
        found.setdefault(window_at(Calendar(by, zone_name), at_s).start_s, []).append(line)
    return [(label(at_s, by, zone), together(found[at_s])) for at_s in sorted(found)]


def label(at_s: float, by: str, zone: tzinfo) -> str:
    """An hour's or day's name: ISO 8601, an hour with its offset from UTC."""
    at = datetime.fromtimestamp(at_s, zone)
    return at.date().isoformat() if by == "day" else at.isoformat(timespec="minutes")


# ------------------------------------------------------------------ what is asked for


def span(since: str, until: str, now_s: float, zone: tzinfo) -> tuple[float, float]:
    """A report's span of UNIX seconds, the end not in it.

    Args:
        since, until: as `parse_time`; "" is DEFAULT_DAYS before the end, and now.

    Raises:
        InvalidRequest: no such time, or a span that is empty or longer than MAX_DAYS.
    """
    until_s = parse_time("until", until, now_s, zone) if until else now_s
    since_s = until_s - DEFAULT_DAYS * DAY_S
    if since:
        since_s = parse_time("since", since, now_s, zone)
    if not 0 < until_s - since_s <= MAX_DAYS * DAY_S:
        raise InvalidRequest(
            f"since is {since or since_s!r}: must be before until and at most {MAX_DAYS} days "
            "before it",
            field="since",
        )
    return since_s, until_s


def parse_time(field: str, text: str, now_s: float, zone: tzinfo) -> float:
    """UNIX seconds of a date or a time in `zone` (ISO 8601, an offset counts), or of so
    long ago: 12h, 7d, 4w.

    Raises:
        InvalidRequest: it is none of these.
    """
    ago = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
    if ago is not None:
        return now_s - int(ago[1]) * _AGO[ago[2]]
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).timestamp()
    except ValueError:
        raise InvalidRequest(
            f"{field} is {text[:40]!r}: must be like 2026-11-24, 2026-11-24T12:00, or so long "
            "ago: 12h, 7d, 4w",
            field=field,
        ) from None


def check_by(by: str) -> None:
    """Raises InvalidRequest when reports are not made by that."""
    if by not in BY:
        raise InvalidRequest(f"by is {by[:40]!r}: must be one of {', '.join(BY)}", field="by")


# ------------------------------------------------------------------ CSV


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with a header; money in US dollars, "" for what is unknown."""
    if not rows:
        return ""
    shown = [dict(map(_in_dollars, row.items())) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(shown[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(shown)
    return text.getvalue()


def _in_dollars(item: tuple[str, Any]) -> tuple[str, Any]:
    name, value = item
    if "micros" not in name:
        return name, value
    usd = None if value is None else dollars(value)
    return name.replace("micros", "usd"), usd


def dollars(micros: int) -> str:
    """Micro-dollars as dollars, exactly."""
    whole, rest = divmod(abs(micros), _MICROS)
    return f"{'-' if micros < 0 else ''}{whole}.{rest:06d}"


def utc_time(at_s: float) -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
