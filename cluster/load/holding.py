"""How long calls last: distributions of holding times. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Protocol

from cluster.load.spec import number, spec
from reception.errors import InvalidRequest

DISTRIBUTIONS = "fixed:S, exponential:MEAN_S, lognormal:MEAN_S,SIGMA or uniform:FROM_S..TO_S"
MOST_S = 86_400.0


class Holding(Protocol):
    """A distribution of holding times."""

    def draw_s(self, rng: Random) -> float:
        """One holding time, in seconds."""
        ...

    def mean_s(self) -> float:
        """Their mean, in seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """All calls alike."""

    hold_s: float

    def draw_s(self, rng: Random) -> float:
        del rng
        return self.hold_s

    def mean_s(self) -> float:
        return self.hold_s


@dataclass(frozen=True, slots=True)
class Exponential:
    """Erlang's assumption."""

    of_mean_s: float

    def draw_s(self, rng: Random) -> float:
        return min(MOST_S, rng.expovariate(1 / self.of_mean_s))

    def mean_s(self) -> float:
        return self.of_mean_s


@dataclass(frozen=True, slots=True)
class LogNormal:
    """What call centres measure: many short calls, a long tail.

    sigma: of the logarithm; 0.8 gives a median of 0.73 of the mean.
    """

    of_mean_s: float
    sigma: float

    def draw_s(self, rng: Random) -> float:
        mu = math.log(self.of_mean_s) - self.sigma**2 / 2
        return min(MOST_S, rng.lognormvariate(mu, self.sigma))

    def mean_s(self) -> float:
        return self.of_mean_s


@dataclass(frozen=True, slots=True)
class Uniform:
    """Anything between two bounds."""

    from_s: float
    to_s: float

    def draw_s(self, rng: Random) -> float:
        return rng.uniform(self.from_s, self.to_s)

    def mean_s(self) -> float:
        return (self.from_s + self.to_s) / 2


def parse_holding(text: str) -> Holding:
    """A distribution from words such as "exponential:120".

    Raises:
        InvalidRequest: it is none; the message says what there is.
    """
    kind, argument = spec("hold", text, DISTRIBUTIONS)
    if kind == "fixed":
        return Fixed(_seconds(argument, 0.0))
    if kind == "exponential":
        return Exponential(_seconds(argument))
    if kind == "lognormal":
        mean, _, sigma = argument.partition(",")
        return LogNormal(_seconds(mean), number("hold: sigma", sigma, 0, 5))
    if kind == "uniform":
        low, _, high = argument.partition("..")
        bounds = Uniform(_seconds(low, 0.0), _seconds(high, 0.0))
        if bounds.from_s > bounds.to_s:
            raise InvalidRequest(
                f"hold {text!r}: {bounds.from_s:g} s is more than {bounds.to_s:g} s", field="hold"
            )
        return bounds
    raise InvalidRequest(f"hold {text!r}: use {DISTRIBUTIONS}", field="hold")


def _seconds(text: str, at_least: float = 0.01) -> float:
    return number("hold: seconds", text, at_least, MOST_S)
