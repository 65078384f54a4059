"""A telephone line in levels: two people who talk, an echo path, noise."""

from __future__ import annotations

import math
import random
from itertools import pairwise

FRAME_MS = 20


def power(dbov: float) -> float:
    return 10 ** (dbov / 10)


def dbov(power: float) -> float:
    return max(-127.0, 10 * math.log10(power)) if power > 0 else -127.0


def talk(rng: random.Random, frames: int, level_dbov: float) -> list[float]:
    """Levels of 20 ms frames of somebody who talks: syllables of 80 to 300 ms that
    rise and fall, small gaps, now and then a pause."""
    out: list[float] = []
    while len(out) < frames:
        length = rng.randint(4, 15)
        loudness = level_dbov + rng.gauss(3, 3)
        for at in range(length):
            shape = 14 * (1 - math.sin(math.pi * (at + 1) / (length + 1)))
            out.append(loudness - shape + rng.gauss(0, 1.5))
        pause = rng.randint(10, 25) if rng.random() < 0.12 else rng.randint(0, 3)
        out += [-75.0 + rng.gauss(0, 2) for _ in range(pause)]
    return [min(0.0, level) for level in out[:frames]]


def echo(played: list[float], delay_ms: float, loss_db: float) -> list[float]:
    """What the line returns of it: a frame heard lies across two frames played."""
    whole, part = divmod(delay_ms / FRAME_MS, 1)
    late = [-127.0] * (int(whole) + 1) + played
    return [
        dbov((power(here) * (1 - part) + power(before) * part) * power(-loss_db))
        for before, here in pairwise(late)
    ]


def mix(*sounds: list[float], noise_dbov: float, rng: random.Random) -> list[float]:
    """All of them on one line, as long as the longest, with noise and the ripple that
    a line's frequency response makes."""
    frames = max(len(sound) for sound in sounds)
    out = []
    for at in range(frames):
        heard = sum(power(sound[at] + rng.gauss(0, 1)) for sound in sounds if at < len(sound))
        out.append(dbov(heard + power(noise_dbov + rng.gauss(0, 0.7))))
    return out
