"""When calls begin: patterns of arrivals. Pure; seconds since the run began."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Protocol

from cluster.load.spec import number, spec
from reception.errors import InvalidRequest

PATTERNS = (
    "constant:PER_S, ramp:FROM..TO, poisson:PER_S, burst:CALLS, burst:CALLS/EVERY_S or csv:FILE"
)
USUAL_S = 60.0  # of a pattern that goes on for ever
MOST_PER_S = 10_000.0
MOST_CALLS = 10_000_000.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One call to be placed.

    hold_s: how long it lasts; None: as the run's distribution says.
    caller: which caller of the scenario; "": chosen by weight.
    """

    at_s: float
    hold_s: float | None = None
    caller: str = ""


class Pattern(Protocol):
    """A pattern of arrivals."""

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[Arrival]:
        """In order of time, each before `duration_s`."""
        ...

    @property
    def length_s(self) -> float | None:
        """Until just after its last call; None: it has none."""
        ...


class _Endless:
    """Calls as long as is wished."""

    __slots__ = ()

    @property
    def length_s(self) -> float | None:
        return None


@dataclass(frozen=True, slots=True)
class Constant(_Endless):
    """Evenly spaced calls."""

    per_s: float

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[Arrival]:
        del rng
        count = 0
        while count / self.per_s < duration_s:
            yield Arrival(count / self.per_s)
            count += 1


@dataclass(frozen=True, slots=True)
class Ramp(_Endless):
    """A rate that goes evenly from one to another over the run.

    Call k comes where the integral of the rate reaches k.
    """

    from_per_s: float
    to_per_s: float

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[Arrival]:
        del rng
        slope = (self.to_per_s - self.from_per_s) / duration_s
        total = (self.from_per_s + self.to_per_s) / 2 * duration_s
        for count in range(math.ceil(total)):
            root = math.sqrt(max(0.0, self.from_per_s**2 + 2 * slope * count))
            both = self.from_per_s + root  # of a*t + slope/2 * t^2 = count, without cancellation
            yield Arrival(2 * count / both if both else 0.0)


@dataclass(frozen=True, slots=True)
class Poisson(_Endless):
    """Independent callers: exponential gaps."""

    per_s: float

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[Arrival]:
        at_s = rng.expovariate(self.per_s)
        while at_s < duration_s:
            yield Arrival(at_s)
            at_s += rng.expovariate(self.per_s)


@dataclass(frozen=True, slots=True)
class Burst(_Endless):
    """Many calls in the same instant; again every `every_s`, unless that is 0."""

    calls: int
    every_s: float = 0.0

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[Arrival]:
        del rng
        bursts = max(1, math.ceil(duration_s / self.every_s)) if self.every_s else 1
        for burst in range(bursts):
            yield from [Arrival(burst * self.every_s)] * self.calls


@dataclass(frozen=True, slots=True)
class Replay:
    """Arrivals that were recorded."""

    recorded: tuple[Arrival, ...]

    def arrivals(self, duration_s: float, rng: Random) -> Iterator[Arrival]:
        del rng
        return (each for each in self.recorded if each.at_s < duration_s)

    @property
    def length_s(self) -> float | None:
        return max((each.at_s for each in self.recorded), default=0.0) + 0.1


def parse_arrivals(text: str, read: Callable[[str], Iterable[str]]) -> Pattern:
    """A pattern from words such as "poisson:5".

    Args:
        text: one of `PATTERNS`.
        read: gives the lines of a file by its name.

    Raises:
        InvalidRequest: it is none; the message says what there is.
    """
    kind, argument = spec("arrivals", text, PATTERNS)
    if kind == "csv":
        return Replay(tuple(read_csv(read(argument))))
    if kind == "ramp":
        low, _, high = argument.partition("..")
        ramp = Ramp(_rate(low), _rate(high))
        if ramp.from_per_s + ramp.to_per_s == 0:
            raise InvalidRequest("arrivals: a ramp from 0 to 0 has no calls", field="arrivals")
        return ramp
    if kind == "burst":
        calls, _, every = argument.partition("/")
        count = number("arrivals: calls of a burst", calls, 1, MOST_CALLS)
        return Burst(int(count), number("arrivals: every", every, 0.1, 86_400) if every else 0.0)
    if kind == "constant":
        return Constant(_rate(argument, 1 / 3600))
    if kind == "poisson":
        return Poisson(_rate(argument, 1 / 3600))
    raise InvalidRequest(f"arrivals {text!r}: use {PATTERNS}", field="arrivals")


def read_csv(lines: Iterable[str]) -> list[Arrival]:
    """Rows with a header: at_s, and if they are there hold_s and caller.

    Raises:
        InvalidRequest: a column or a value is wrong; the message names the line.
    """
    rows = csv.DictReader(lines, skipinitialspace=True)
    columns = rows.fieldnames or []
    unknown = sorted(set(columns) - {"at_s", "hold_s", "caller"})
    if "at_s" not in columns or unknown:
        raise InvalidRequest(
            f"arrivals: the first line names the columns at_s, hold_s and caller, "
            f"not {', '.join(columns) or 'nothing'}",
            field="arrivals",
        )
    found = []
    for row in rows:
        where = f"arrivals, line {rows.line_num}: "
        hold = row.get("hold_s") or ""
        found.append(
            Arrival(
                number(f"{where}at_s", row["at_s"] or "", 0, 86_400),
                number(f"{where}hold_s", hold, 0, 86_400) if hold else None,
                row.get("caller") or "",
            )
        )
    return sorted(found, key=lambda each: each.at_s)


def _rate(text: str, at_least: float = 0.0) -> float:
    return number("arrivals: calls a second", text, at_least, MOST_PER_S)
