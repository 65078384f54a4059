"""Calls that would never end by themselves, at a real node (more of them: benchmarks)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.never_ending import House, Kind, node, of_each
from cluster import loop

CALLS, AT_ONCE = 20, 10
ENDS = {
    "refused for money": {"RESOURCE_EXHAUSTED"},
    "refused for want of room": {"RESOURCE_EXHAUSTED"},
    "streams on which nothing is said": {"DEADLINE_EXCEEDED"},
    "given up while they are placed": {"given up"},
    "hung up before anybody speaks": {"OK"},
    # a busy machine's caller may be too slow, and grpcio cut short as it writes
    "never answered": {"OK", "DEADLINE_EXCEEDED", "INTERNAL"},
    "never answered, and the caller waits": {"OK", "DEADLINE_EXCEEDED", "INTERNAL"},
    "cut off in the middle of a word": {"cut"},
    "silent once they are accepted": {"DEADLINE_EXCEEDED"},
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with node(tmp_path) as one:
        yield one


def test_nothing_is_left_of_any_kind(house: House) -> None:
    async def all_kinds() -> list[Kind]:
        return [kind async for kind in of_each(house, CALLS, AT_ONCE)]

    kinds = loop.run(all_kinds())
    assert {kind.name: kind.left for kind in kinds} == {name: {} for name in ENDS}
    for kind in kinds:
        assert kind.ends.total() == CALLS, kind
        assert set(kind.ends) <= ENDS[kind.name], kind
