"""What is looked at once a second, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean, pstdev

from benchmarks.scaling.calls import Calls
from benchmarks.scaling.health import Health
from benchmarks.scaling.node import Node

BOUND = 1.1  # of the mean load, that no node is to be above
CALM_S = 5.0  # balanced again: under the bound for so long


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment. A node's load is its calls as a share of its capacity; worst, p99,
    least, spread (standard deviation): of the nodes, over the mean load (all calls
    over all capacity). slow, joined: the mean of those nodes, over that of all.
    homeless: calls that are being placed, for the first time or again; refused,
    turned_away, dropped, arrived, resumed: of calls, up to now (`Tally`); ended too;
    health: messages to it, up to now.
    """

    at_s: float
    live: int
    load: float
    worst: float
    p99: float
    least: float
    spread: float
    slow: float
    joined: float
    homeless: int
    refused: int
    turned_away: int
    dropped: int
    arrived: int
    resumed: int
    ended: int
    health: int


def sample(at_s: float, nodes: Iterable[Node], calls: Calls, health: Health) -> Sample:
    """Looks at the nodes that live."""
    alive = [node for node in nodes if node.alive]
    live = sum(len(node.live) for node in alive)
    load = live / sum(node.capacity for node in alive)
    each = sorted(_load(node) / load for node in alive)
    tally = calls.tally
    return Sample(
        at_s,
        live,
        load,
        each[-1],
        each[int(0.99 * (len(each) - 1))],
        each[0],
        pstdev(each),
        _mean([_load(node) / load for node in alive if node.pace != 1.0]),
        _mean([_load(node) / load for node in alive if node.joined_s]),
        calls.homeless,
        tally.refused.total(),
        tally.turned_away.total(),
        tally.dropped,
        tally.arrived,
        tally.resumed,
        tally.ended,
        health.messages,
    )


def _load(node: Node) -> float:
    return len(node.live) / node.capacity


def _mean(values: list[float]) -> float:
    return fmean(values) if values else 0.0


def between(samples: Sequence[Sample], from_s: float, to_s: float) -> list[Sample]:
    return [each for each in samples if from_s <= each.at_s < to_s]


def balanced_after_s(samples: Sequence[Sample], since_s: float) -> float:
    """How long it takes until no node is above the bound for `CALM_S` seconds in a
    row; infinity if it never is."""
    calm_since_s = inf
    for each in samples:
        if each.at_s < since_s:
            continue
        calm_since_s = min(calm_since_s, each.at_s) if each.worst < BOUND else inf
        if each.at_s - calm_since_s >= CALM_S:
            return calm_since_s - since_s
    return inf


def joined_after_s(samples: Sequence[Sample], since_s: float, share: float = 0.9) -> float:
    """How long it takes until nodes that join carry this share of the mean load."""
    for each in samples:
        if each.at_s >= since_s and each.joined >= share:
            return each.at_s - since_s
    return inf
