"""How important a call is, and what of a capacity is kept free for more important ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from reception.errors import InvalidRequest

KEY = "priority"


class Priority(StrEnum):
    """The most important first."""

    EMERGENCY = "emergency"
    NORMAL = "normal"
    BATCH = "batch"


def priority_of(metadata: Mapping[str, str]) -> Priority:
    """What a call's metadata say under "priority"; normal when they say nothing.

    Raises:
        InvalidRequest: it is not one of the three words.
    """
    text = metadata.get(KEY, Priority.NORMAL)
    try:
        return Priority(text)
    except ValueError:
        shown = text if len(text) <= 40 else text[:40] + "…"
        raise InvalidRequest(
            f"metadata[{KEY!r}] is {shown!r}: must be one of {', '.join(Priority)}",
            field="start.metadata",
        ) from None


@dataclass(frozen=True, slots=True)
class Shares:
    """Percent of a capacity up to which batch and normal calls may fill it; the
    rest is for calls of higher priority, and emergency calls may fill it all.

    What counts is all that is in use, by whomever: the trunk reservation of
    telephone exchanges. Raises InvalidRequest unless 0 <= batch <= normal <= 100.
    """

    batch: int = 70
    normal: int = 95

    def __post_init__(self) -> None:
        for field, value, bound in (
            ("normal", self.normal, 100),
            ("batch", self.batch, self.normal),
        ):
            if not 0 <= value <= bound:
                raise InvalidRequest(f"{field} is {value}: must be 0 to {bound}", field=field)

    def percent(self, priority: Priority) -> int:
        if priority is Priority.EMERGENCY:
            return 100
        return self.normal if priority is Priority.NORMAL else self.batch

    def places(self, priority: Priority, capacity: int) -> int:
        """How many of `capacity` places may be taken once a call of this priority
        has one. A capacity of 1 has nothing to spare: the first call gets it,
        unless its share is 0 %."""
        percent = self.percent(priority)
        return max(min(1, capacity, percent), capacity * percent // 100)
