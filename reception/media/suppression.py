"""Whether an audio worker has the time to suppress noise, by its CPU alone.

It goes with the first bound of the CPU, whatever level (`adaptation`) other measures ask
for, and not at all when it is memory that is short: leaving it out would free none. It
comes back after calm that grows with each return that did not last, and only once the
level has been the same for that time: one thing at a time becomes more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reception.hysteresis import Patience, Sustained
from reception.media.adaptation import CALM, Plan, Targets


@dataclass(frozen=True, slots=True)
class SuppressionChanged:
    """Noise is suppressed from now on, or not; `reason` has the numbers."""

    at_s: float
    suppression: bool
    reason: str


class Suppression:
    """The switch of one worker. `now_s` is any monotonic clock.

    Attributes:
        on: noise may be suppressed.
    """

    def __init__(self, targets: Targets) -> None:
        self.on = True
        self._bound, self._rise_s = targets.cpu_percent, targets.rise_s
        self._over, self._calm = Sustained(targets.gap_s), Sustained(targets.gap_s)
        self._patience = Patience(targets.calm_s, targets.longest_calm_s)

    def plan(self, plan: Plan) -> Plan:
        """What is left of a level's plan."""
        return plan if self.on else replace(plan, suppression=False)

    def observe(
        self, cpu_percent: float, now_s: float, *, level_changed: bool
    ) -> SuppressionChanged | None:
        """The change that this CPU causes, which is made already; None mostly.

        Args:
            cpu_percent: of the one core that the worker can use, since the last time.
            level_changed: the worker does more or less from now on.
        """
        if self.on:
            if self._over.observe(cpu_percent >= self._bound, now_s) < self._rise_s:
                return None
            self._patience.relapsed(now_s)
            reason = f"cpu_percent {cpu_percent:.1f} >= {self._bound:.1f} for {self._rise_s:g} s"
            return self._change(now_s, reason)
        if level_changed:
            self._calm.restart()
        below, wait_s = CALM * self._bound, self._patience.wait_s
        if self._calm.observe(cpu_percent < below, now_s) < wait_s:
            return None
        self._patience.returned(now_s)
        return self._change(now_s, f"cpu_percent {cpu_percent:.1f} < {below:.1f} for {wait_s:g} s")

    def restore(self) -> None:
        """An operator's level counts, with all that belongs to it."""
        self.on = True
        self._restart()

    def _change(self, now_s: float, reason: str) -> SuppressionChanged:
        self.on = not self.on
        self._restart()
        return SuppressionChanged(now_s, self.on, reason)

    def _restart(self) -> None:
        self._over.restart()
        self._calm.restart()
