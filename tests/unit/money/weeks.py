"""Spending that is the same each week, for tests of the forecast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from reception.money.forecast.forecaster import Forecaster
from reception.money.forecast.model import WEEK
from reception.money.forecast.outlook import HOUR_S
from reception.money.windows import SLOT_S

MONDAY_S = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
DOLLAR = 1_000_000


@dataclass(frozen=True, slots=True)
class Weeks:
    """busy, quiet: dollars of an hour, from 9 to 17 on workdays and else."""

    busy: int
    quiet: int

    def dollars(self, hour: int) -> int:
        return self.busy if hour % WEEK < 120 and 9 <= hour % 24 < 17 else self.quiet

    def history(self, hours: int, first: int = 0) -> list[tuple[int, int]]:
        """Micro-dollars by slot, of these hours from MONDAY_S on."""
        return [
            (MONDAY_S + hour * HOUR_S + part * SLOT_S, self.dollars(hour) * DOLLAR // 4)
            for hour in range(first, hours)
            for part in range(4)
        ]

    def learnt(self, hours: int) -> Forecaster:
        forecaster = Forecaster(UTC)
        forecaster.learn(self.history(hours), MONDAY_S + hours * HOUR_S)
        return forecaster
