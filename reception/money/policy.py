"""What is done when the money runs out: the tenant's policy, step after step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reception.errors import InvalidRequest


class Step(StrEnum):
    """In the order in which they are taken. All but `refuse` are for a live
    call; `refuse` is for the ones that want to begin."""

    GO_ON = "go_on"
    WARN = "warn"
    SHORTEN = "shorten"
    CHEAPER = "cheaper"
    WRAP_UP = "wrap_up"
    TRANSFER = "transfer"
    REFUSE = "refuse"

    @property
    def ends(self) -> bool:
        """Whether a live call comes to its end by it."""
        return self in (Step.WRAP_UP, Step.TRANSFER)


_ORDER = tuple(Step)


@dataclass(frozen=True, slots=True)
class Policy:
    """Steps with the percentage of the tightest limit below which they are taken.

    A call whose next slice can't be held comes to its end whatever is listed:
    by `transfer` where that is listed and due, else by `wrap_up`. A percentage
    of 0 means that alone.

    Raises:
        InvalidRequest: a step is listed out of order or twice, or a percentage
            is not 0 to 100, or higher than that of a step before (but that of
            `refuse` may be: live calls can go on where no new ones begin).
    """

    steps: tuple[tuple[Step, int], ...] = (
        (Step.WARN, 10),
        (Step.SHORTEN, 6),
        (Step.CHEAPER, 4),
        (Step.WRAP_UP, 0),
        (Step.REFUSE, 0),
    )

    def __post_init__(self) -> None:
        before, bound = Step.GO_ON, 100
        for step, percent in self.steps:
            if _ORDER.index(step) <= _ORDER.index(before):
                raise InvalidRequest(
                    f"step {step} comes after {before}: must be in the order "
                    f"{', '.join(_ORDER[1:])}, each once",
                    field="steps",
                )
            bound = 100 if step is Step.REFUSE else bound
            if not 0 <= percent <= bound:
                raise InvalidRequest(
                    f"{step} is at {percent} percent: must be 0 to {bound}", field="steps"
                )
            before, bound = step, percent

    def for_call(self, left_permille: int, *, can_hold: bool) -> tuple[Step, ...]:
        """The steps that are due for a live call, in order; of those that end it only
        the last.

        Args:
            left_permille: of its tightest limit; 1000 without any.
            can_hold: its hold is what it should be.
        """
        due = [s for s, percent in self.steps if left_permille < percent * 10]
        going_on = tuple(s for s in due if not s.ends and s is not Step.REFUSE)
        ending = [s for s in due if s.ends]
        if can_hold:
            return (*going_on, *ending[-1:])
        last = dict(self.steps)
        transfer = last.get(Step.TRANSFER, -1)
        always = transfer == 0 or Step.WRAP_UP not in last
        to_a_person = transfer >= 0 and (Step.TRANSFER in due or always)
        return (*going_on, Step.TRANSFER if to_a_person else Step.WRAP_UP)

    def refuses(self, left_permille: int) -> bool:
        """Whether a new call is refused although its money could be held."""
        return left_permille < dict(self.steps).get(Step.REFUSE, 0) * 10


def parse_policy(steps: Mapping[str, Any]) -> Policy:
    """A policy from its steps' names and percentages, in order.

    Raises:
        InvalidRequest: as Policy, or there is no such step.
    """
    known = {step.value: step for step in _ORDER[1:]}
    parsed: list[tuple[Step, int]] = []
    for name, percent in steps.items():
        if name not in known or isinstance(percent, bool) or not isinstance(percent, int):
            raise InvalidRequest(
                f"step {name[:40]!r} at {percent!r}: must be one of {', '.join(known)} with a "
                "whole percentage",
                field="steps",
            )
        parsed.append((known[name], percent))
    return Policy(tuple(parsed))
