"""Node states by the age of the last report."""

from __future__ import annotations

import pytest

from reception.health.liveness import NodeState, node_state, rules_for


@pytest.mark.parametrize(
    ("age_s", "state"),
    [(-50.0, "healthy"), (0.0, "healthy"), (5.0, "healthy"), (5.01, "stale"), (11.0, "stale"),
     (11.01, "down")],
)  # fmt: skip
def test_states_by_age(age_s: float, state: str) -> None:
    assert node_state(rules_for(2.0), 1_000.0, 1_000.0 + age_s) == NodeState(state)
