"""Years of spending for the forecast's back-test: seeded, by quarter of an hour.

Each amount is a mean that has a trend with changes of direction, a yearly wave,
a week of office hours, holidays and bursts, times noise of the day, the hour and
the quarter: gamma-distributed, as the sum of a random number of calls is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

DAY, WEEK, YEAR = 24, 168, 8_760
QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of which the amounts are made. Shares are of the mean.

    dollars_an_hour: at the beginning, on average.
    growth_a_year: of the trend at first; it is drawn anew twice a year around it.
    day_noise, hour_noise: standard deviations.
    holidays_a_year: of which a third last a week; at `holiday_share` of a day.
    bursts_a_month: of 2 to 8 hours, at 2 to 4 times what is usual.
    """

    dollars_an_hour: float = 12.0
    growth_a_year: float = 0.4
    yearly_wave: float = 0.12
    day_noise: float = 0.10
    hour_noise: float = 0.25
    holidays_a_year: int = 10
    holiday_share: float = 0.15
    bursts_a_month: float = 2.0


def quarters(hours: int, seed: int, traffic: Traffic = Traffic()) -> list[int]:
    """Micro-dollars of each quarter of an hour; the first hour is a Monday's."""
    random = Random(seed)
    week = _week(random)
    factors = _holidays(hours, random, traffic)
    _bursts(factors, random, traffic)
    log_mean, slope = math.log(traffic.dollars_an_hour * 1e6), 0.0
    phase, day_factor = random.random(), 1.0
    made: list[int] = []
    for hour in range(hours):
        if hour % (YEAR // 2) == 0:
            growth = random.gauss(traffic.growth_a_year, traffic.growth_a_year)
            slope = math.log(max(0.5, 1 + growth)) / YEAR
        if hour % DAY == 0:
            day_factor = _gamma(random, traffic.day_noise)
        log_mean += slope
        wave = 1 + traffic.yearly_wave * math.sin(2 * math.pi * (hour / YEAR + phase))
        mean = math.exp(log_mean) * wave * week[hour % WEEK] * factors[hour] * day_factor
        mean *= _gamma(random, traffic.hour_noise)
        made += [
            round(mean / QUARTERS * _gamma(random, traffic.hour_noise)) for _ in range(QUARTERS)
        ]
    return made


def hourly(by_quarter: list[int]) -> list[int]:
    """The same by hour."""
    return [sum(by_quarter[at : at + QUARTERS]) for at in range(0, len(by_quarter), QUARTERS)]


def _gamma(random: Random, deviation: float) -> float:
    """Of mean 1."""
    if not deviation:
        return 1.0
    shape = 1 / deviation**2
    return random.gammavariate(shape, 1 / shape)


def _week(random: Random) -> list[float]:
    """Office hours with a dip at noon, little at night and on the weekend."""
    days = [1.15, 1.05, 1.0, 1.0, 0.9, 0.4, 0.2]
    shape = [
        0.05 + math.exp(-(((hour - 10.5) / 2.2) ** 2)) + 0.8 * math.exp(-(((hour - 15) / 2.5) ** 2))
        for hour in range(DAY)
    ]
    raw = [size * each * random.uniform(0.9, 1.1) for size in days for each in shape]
    mean = sum(raw) / WEEK
    return [each / mean for each in raw]


def _holidays(hours: int, random: Random, traffic: Traffic) -> list[float]:
    factors = [1.0] * hours
    for _ in range(round(traffic.holidays_a_year * hours / YEAR)):
        first = random.randrange(max(1, hours // DAY)) * DAY
        days = 7 if random.random() < 1 / 3 else 1
        for hour in range(first, min(hours, first + days * DAY)):
            factors[hour] = traffic.holiday_share
    return factors


def _bursts(factors: list[float], random: Random, traffic: Traffic) -> None:
    for _ in range(round(traffic.bursts_a_month * 12 * len(factors) / YEAR)):
        first, size = random.randrange(len(factors)), random.uniform(2, 4)
        for hour in range(first, min(len(factors), first + random.randint(2, 8))):
            factors[hour] *= size
