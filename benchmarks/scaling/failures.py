"""When what goes wrong: shares of the measured time, so that a short run has it all."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.scaling.model import Model

AWAY_S = 10.0  # the health singleton
SLOW_PACE = 2.5  # slow nodes take so much longer for everything
JOINING_S = 5.0  # nodes that join come within


@dataclass(frozen=True, slots=True)
class Timeline:
    """Simulated seconds. Nothing goes wrong between warm_s and away_s, when the health
    singleton is away; then nodes are slow until well_s, die, and others join."""

    warm_s: float
    away_s: float
    slow_s: float
    well_s: float
    kill_s: float
    join_s: float
    end_s: float


def timeline(model: Model) -> Timeline:
    """Of twelve minutes five without a failure."""

    def at_s(twelfths: float) -> float:
        return model.warm_s + 5 * model.minutes * twelfths

    return Timeline(at_s(0), at_s(5), at_s(6), at_s(7), at_s(7.5), at_s(8.5), at_s(12))
