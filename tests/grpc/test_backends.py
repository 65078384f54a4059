"""Whom the front door asks, when one of them does not answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ray.exceptions import RayActorError

from cluster.door_config import DoorConfig
from cluster.front_door import backends
from cluster.front_door.backends import RayBackends
from reception.placement.admission.answer import Admitted, Cause, Refused
from reception.placement.admission.priority import Priority

REFUSED = Refused(Cause.PROVIDER_TOKENS, "no tokens left", 5.0)


class Singleton:
    """Answers, hangs, or is gone."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.gone = False

    async def provider_room(self, *args: Any) -> Refused:
        await self._asked("provider_room", *args)
        return REFUSED

    async def gave_up(self, *args: Any) -> None:
        await self._asked("gave_up", *args)

    async def close_call(self, *args: Any) -> None:
        await self._asked("close_call", *args)

    async def _asked(self, *args: Any) -> None:
        if self.gone:
            raise RayActorError
        await self.answers.wait()
        self.asked.append(args)


@pytest.fixture
def singletons(monkeypatch: pytest.MonkeyPatch) -> dict[str, Singleton]:
    found = {name: Singleton() for name in ("security", "cost", "health")}
    monkeypatch.setattr(backends, "find", found.__getitem__)
    monkeypatch.setattr(backends, "ROOM_TIMEOUT_S", 0.05)
    return found


@pytest.fixture
def door(singletons: dict[str, Singleton]) -> RayBackends:
    return RayBackends(DoorConfig("127.0.0.1", 0, "n"), timeout_s=1.0)


async def test_room_at_the_provider_is_asked_for_and_given_back(
    door: RayBackends, singletons: dict[str, Singleton]
) -> None:
    assert await door.provider_room("s1", Priority.NORMAL) == REFUSED
    await door.close_call("s1")
    assert singletons["health"].asked == [
        ("provider_room", "s1", Priority.NORMAL), ("gave_up", "s1"),
    ]  # fmt: skip
    assert singletons["cost"].asked == [("close_call", "s1")]


async def test_while_nobody_knows_of_the_provider_calls_are_taken(
    door: RayBackends, singletons: dict[str, Singleton]
) -> None:
    health = singletons["health"]
    health.answers.clear()
    assert isinstance(await door.provider_room("s1", Priority.NORMAL), Admitted)
    health.gone = True
    assert isinstance(await door.provider_room("s1", Priority.NORMAL), Admitted)
    await door.close_call("s1")
    assert singletons["cost"].asked == [("close_call", "s1")]
