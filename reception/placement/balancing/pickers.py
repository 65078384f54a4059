"""Algorithms that choose one of the nodes that may get a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf
from random import Random
from typing import Protocol

from reception.errors import InvalidRequest
from reception.placement.balancing.bounds import above, within


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node with room for a call.

    weight: its capacity, less while it is new or its report stale; above 0.
    headroom: the share of it that is free; above 0, at most 1.
    active: calls that it has or is about to get; placing: of those, how many
        of ours it has not answered yet.
    """

    node_id: str
    zone: str
    capacity: int
    weight: float
    headroom: float
    active: int
    placing: int


class Picker(Protocol):
    """Chooses among candidates, and learns from what comes of it. `now_s` is any
    monotonic clock. It knows no node but by what it is told here."""

    def pick(self, candidates: Sequence[Candidate], now_s: float) -> str:
        """The node_id of one of them; there is at least one. O(n) or better."""
        ...

    def answered(self, node_id: str, took_s: float, now_s: float) -> None:
        """The node took the call, after so long."""
        ...

    def failed(self, node_id: str, now_s: float) -> None:
        """The node failed to take the call."""
        ...

    def forget(self, node_id: str) -> None:
        """The node is gone."""
        ...


# ---------------------------------------------------------------- in proportion


class SmoothWeighted:
    """Smooth weighted round robin, as nginx does it: in proportion to capacity,
    spread as evenly as can be, whatever the load.

    A node's credit grows by its share at each pick and falls by one when it is
    picked, so it never is more than a few calls away from its due. (nginx
    counts in weights, not in shares: the same while weights stay, but here what
    is owed is still one call when they have changed.) A failure lowers what it
    gets by 1 / `max_fails`, and each pick that it takes part in gives `recovery`
    back. Credits begin at random, so that many front doors don't begin with the
    same node.
    """

    def __init__(self, rng: Random, max_fails: int = 3, recovery: float = 0.01) -> None:
        within("max_fails", max_fails, 1)
        within("recovery", recovery, 0.001, 1)
        self._rng, self._max_fails, self._recovery = rng, max_fails, recovery
        self._credit: dict[str, float] = {}
        self._trust: dict[str, float] = {}

    def pick(self, candidates: Sequence[Candidate], now_s: float) -> str:
        due = {each.node_id: self._due(each) for each in candidates}
        total = sum(due.values())
        for node_id, weight in due.items():
            if node_id not in self._credit:
                self._credit[node_id] = -self._rng.random()
            self._credit[node_id] += weight / total
        best = max(due, key=self._credit.__getitem__)
        self._credit[best] -= 1.0
        return best

    def answered(self, node_id: str, took_s: float, now_s: float) -> None:
        """Says nothing more than that it was picked."""

    def failed(self, node_id: str, now_s: float) -> None:
        left = self._trust.get(node_id, 1.0) - 1.0 / self._max_fails
        self._trust[node_id] = max(0.0, left)

    def forget(self, node_id: str) -> None:
        self._credit.pop(node_id, None)
        self._trust.pop(node_id, None)

    def weight(self, candidate: Candidate) -> float:
        """What its share is in proportion to."""
        return candidate.weight

    def _due(self, candidate: Candidate) -> float:
        trust = min(1.0, self._trust.get(candidate.node_id, 1.0) + self._recovery)
        self._trust[candidate.node_id] = trust
        return self.weight(candidate) * trust


class Utilisation(SmoothWeighted):
    """Smooth weighted round robin in proportion to what is free.

    Nodes are alike on average, but with many front doors calls come to each node
    by chance, and their number varies by the root of (1 - load) * calls: of 1,000
    nodes with 100 calls each the fullest has a sixth more than the mean, where with
    the better of two it has a twentieth (docs/scaling.md).
    """

    def weight(self, candidate: Candidate) -> float:
        return candidate.weight * candidate.headroom


# ---------------------------------------------------------------- by score


class LeastRequest:
    """The most of weight / (active + 1) ** bias (Envoy, least request). The larger
    `bias`, the more calls count against weight; 0 counts weight alone.

    Reports are the same for all front doors, so all take the same node until the
    next report: with ten doors the calls that a node gets in a second vary five
    times as much as by chance. For one door, or inside of `PowerOfTwo`.
    """

    def __init__(self, rng: Random, bias: float = 1.0) -> None:
        within("bias", bias, 0, 10)
        self._rng, self._bias = rng, bias

    def pick(self, candidates: Sequence[Candidate], now_s: float) -> str:
        return _best(candidates, self.score, self._rng)

    def score(self, candidate: Candidate) -> float:
        return float(candidate.weight / (candidate.active + 1) ** self._bias)

    def answered(self, node_id: str, took_s: float, now_s: float) -> None:
        """How long it took does not matter."""

    def failed(self, node_id: str, now_s: float) -> None:
        """Failures are left to ejection."""

    def forget(self, node_id: str) -> None:
        """There is nothing to forget."""


class MostHeadroom:
    """The most headroom. Where calls alone fill nodes it chooses as `LeastRequest`
    does, but a node that is slow, short of memory or fails calls is left alone too,
    as it says so, and not only once it refuses. For the inside of `PowerOfTwo`: who
    is new or stale has all headroom, and only weight, by which two are drawn, keeps
    it from getting all calls.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def pick(self, candidates: Sequence[Candidate], now_s: float) -> str:
        return _best(candidates, lambda each: each.headroom, self._rng)

    def answered(self, node_id: str, took_s: float, now_s: float) -> None:
        """How long it took does not matter."""

    def failed(self, node_id: str, now_s: float) -> None:
        """Failures are left to ejection."""

    def forget(self, node_id: str) -> None:
        """There is nothing to forget."""


class PeakEwma:
    """The least cost: response time times placements under way, a share of the
    weight (Finagle's peak EWMA). A slow answer counts at once, and is forgotten
    with `tau_s`. A node that never answered is asked first, by one call at a time.

    Args:
        failure_s: a failure counts as an answer that took so long; without it a
            node that fails quickly would seem the best.
    """

    def __init__(self, rng: Random, tau_s: float = 10.0, failure_s: float = 5.0) -> None:
        above("tau_s", tau_s)
        within("failure_s", failure_s, 0)
        self._rng, self._tau_s, self._failure_s = rng, tau_s, failure_s
        self._seen: dict[str, tuple[float, float]] = {}  # EWMA in s, and when

    def pick(self, candidates: Sequence[Candidate], now_s: float) -> str:
        return _best(candidates, lambda each: -self.cost(each, now_s), self._rng)

    def cost(self, candidate: Candidate, now_s: float) -> float:
        """In seconds for each call of capacity."""
        if candidate.node_id not in self._seen:
            return inf if candidate.placing else 0.0
        took_s, at_s = self._seen[candidate.node_id]
        return took_s * self._kept(at_s, now_s) * (candidate.placing + 1) / candidate.weight

    def answered(self, node_id: str, took_s: float, now_s: float) -> None:
        before_s, at_s = self._seen.get(node_id, (took_s, now_s))
        kept = self._kept(at_s, now_s)
        self._seen[node_id] = (max(took_s, before_s * kept + took_s * (1.0 - kept)), now_s)

    def failed(self, node_id: str, now_s: float) -> None:
        self.answered(node_id, self._failure_s, now_s)

    def forget(self, node_id: str) -> None:
        self._seen.pop(node_id, None)

    def _kept(self, at_s: float, now_s: float) -> float:
        return exp(min(0.0, at_s - now_s) / self._tau_s)


def _best(candidates: Sequence[Candidate], score: Callable[[Candidate], float], rng: Random) -> str:
    """Any of them among equals."""
    return max(candidates, key=lambda each: (score(each), rng.random())).node_id


class PowerOfTwo:
    """The better of two candidates, in the eyes of another picker; its choice of all
    while there are no more than `many`.

    Two choices keep the fullest of n nodes within log log n of the mean, where
    one leaves log n / log log n (Mitzenmacher, 1996); and while reports are old,
    not everybody runs to the node that was the best in them. The two are drawn in
    proportion to weight, so that a node that is small, new or stale is not drawn
    as often as the others.
    """

    def __init__(self, of: Picker, rng: Random, many: int = 2) -> None:
        within("many", many, 1)
        self._of, self._rng, self._many = of, rng, many

    def pick(self, candidates: Sequence[Candidate], now_s: float) -> str:
        if len(candidates) > self._many:
            weights = [each.weight for each in candidates]
            candidates = self._rng.choices(candidates, weights, k=2)
        return self._of.pick(candidates, now_s)

    def answered(self, node_id: str, took_s: float, now_s: float) -> None:
        self._of.answered(node_id, took_s, now_s)

    def failed(self, node_id: str, now_s: float) -> None:
        self._of.failed(node_id, now_s)

    def forget(self, node_id: str) -> None:
        self._of.forget(node_id)


class BySize:
    """Among up to `many` nodes the one whose turn it is by capacity and headroom, which
    honours weights to a call; among more the one of two that has more headroom, since
    with many front doors the turns of each don't add up to even arrivals
    (docs/scaling.md)."""

    def __init__(self, rng: Random, many: int = 16) -> None:
        within("many", many, 1)
        self._few, self._more = Utilisation(rng), PowerOfTwo(MostHeadroom(rng), rng)
        self._many = many

    def pick(self, candidates: Sequence[Candidate], now_s: float) -> str:
        picker: Picker = self._more if len(candidates) > self._many else self._few
        return picker.pick(candidates, now_s)

    def answered(self, node_id: str, took_s: float, now_s: float) -> None:
        self._few.answered(node_id, took_s, now_s)
        self._more.answered(node_id, took_s, now_s)

    def failed(self, node_id: str, now_s: float) -> None:
        self._few.failed(node_id, now_s)
        self._more.failed(node_id, now_s)

    def forget(self, node_id: str) -> None:
        self._few.forget(node_id)
        self._more.forget(node_id)


# ---------------------------------------------------------------- by name

_PICKERS: dict[str, Callable[[Random, int], Picker]] = {
    "by_size": lambda rng, _: BySize(rng),
    "utilisation": lambda rng, _: Utilisation(rng),
    "smooth_weighted": lambda rng, _: SmoothWeighted(rng),
    "least_request": lambda rng, _: LeastRequest(rng),
    "peak_ewma": lambda rng, _: PeakEwma(rng),
    "power_of_two": lambda rng, many: PowerOfTwo(LeastRequest(rng), rng, many),
    "headroom_of_two": lambda rng, many: PowerOfTwo(MostHeadroom(rng), rng, many),
}
PICKERS = tuple(_PICKERS)


def picker(name: str, rng: Random, many: int = 2) -> Picker:
    """The algorithm of that name.

    Args:
        many: for those of two, up to how many nodes the best of all is taken.

    Raises:
        InvalidRequest: there is none of that name.
    """
    if name not in _PICKERS:
        known = ", ".join(PICKERS)
        raise InvalidRequest(f"balancing {name!r} is not one of {known}", field="balancing")
    return _PICKERS[name](rng, many)
