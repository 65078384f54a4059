"""`--fail-if 'setup_p99_ms>25'`: bounds on a run's metrics. Pure."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from cluster.load.spec import number
from reception.errors import InvalidRequest

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(r"\s*(\w+)\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Threshold:
    """The run has failed if `metric` compares so with `bound`."""

    metric: str
    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.bound:g}"

    def breach(self, metrics: Mapping[str, float | None]) -> str:
        """What is wrong, in words; "" when the bound holds. A metric of which
        nothing was measured breaks its bound: no test passes for want of calls."""
        value = metrics.get(self.metric)
        if value is None:
            return f"{self}: nothing was measured"
        if _OPERATORS[self.sign](value, self.bound):
            return f"{self}: it is {value:g}"
        return ""


def parse_threshold(text: str, known: Collection[str]) -> Threshold:
    """A threshold from words such as "setup_p99_ms>25".

    Raises:
        InvalidRequest: its form or its metric is wrong; the message says which
            metrics have similar names.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidRequest(
            f"fail-if {text!r}: write METRIC, one of > >= < <= == !=, and a number, "
            "such as 'setup_p99_ms>25'",
            field="fail-if",
        )
    metric, sign, bound = found.groups()
    if metric not in known:
        similar = difflib.get_close_matches(metric, known, n=5, cutoff=0.5)
        raise InvalidRequest(
            f"fail-if {text!r}: there is no metric {metric}"
            + (f"; did you mean {', '.join(similar)}?" if similar else ""),
            field="fail-if",
        )
    return Threshold(metric, sign, number(f"fail-if {text!r}: the bound", bound, -1e12, 1e12))
