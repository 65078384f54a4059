"""Which faults come in which order, each with a chance of its own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from reception.errors import InvalidRequest

EARLIEST_S, LATEST_S = 2.0, 5.0  # after every caller has heard its own answer begin


@dataclass(frozen=True, slots=True)
class Try:
    """One fault on one set of calls.

    Attributes:
        number: of this fault, from 1.
        delay_s: from every caller's hearing its answer to the fault.
        seed: for what else is left to chance, such as whom it hits.
    """

    fault: str
    number: int
    delay_s: float
    seed: str

    def rng(self) -> Random:
        """The same choices at each run with this seed."""
        return Random(self.seed)  # noqa: S311 - which process to kill is no secret


def schedule(faults: Sequence[str], tries: int, seed: int) -> list[Try]:
    """`tries` rounds; each has every fault once, in an order of its own, so that a run
    that is cut short has tried them evenly."""
    rng = Random(f"{seed} order")  # noqa: S311 - no secret either
    found = []
    for number in range(1, tries + 1):
        order = list(faults)
        rng.shuffle(order)
        for fault in order:
            delay_s = round(rng.uniform(EARLIEST_S, LATEST_S), 3)
            found.append(Try(fault, number, delay_s, f"{seed} {fault} {number}"))
    return found


def parse_faults(text: str, known: Sequence[str]) -> list[str]:
    """Names from "session,worker"; "" or "all" is every one.

    Raises:
        InvalidRequest: there is no such fault; says which there are.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names in ([], ["all"]):
        return list(known)
    for name in names:
        if name not in known:
            text = f"there is no fault {name!r}, only {', '.join(known)}"
            raise InvalidRequest(text, field="faults")
    return list(dict.fromkeys(names))
