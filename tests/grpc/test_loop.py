"""The event loop of commands, and what is said of the actors'."""

import asyncio

import pytest
import structlog
import uvloop
from ray._private.async_compat import get_new_event_loop

from cluster.loop import RAYS_SWITCH, run, warn_of_slow_actors


async def _where() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def _fails() -> None:
    raise KeyError


def test_work_runs_in_uvloops_loop() -> None:
    assert isinstance(run(_where()), uvloop.Loop)
    with pytest.raises(KeyError):
        run(_fails())


@pytest.mark.parametrize(
    ("environment", "warned"),
    [
        ({}, False),
        ({RAYS_SWITCH: "1"}, False),
        ({RAYS_SWITCH: "True"}, False),
        ({RAYS_SWITCH: "0"}, True),
        ({RAYS_SWITCH: "yes"}, True),  # which Ray takes for no
    ],
)
def test_actors_without_uvloop_are_warned_of(environment: dict[str, str], warned: bool) -> None:
    with structlog.testing.capture_logs() as logs:
        warn_of_slow_actors(environment)
    assert [(each["log_level"], each["variable"]) for each in logs] == [
        ("warning", RAYS_SWITCH)
    ] * warned


@pytest.mark.parametrize("value", ["1", "true", "0", "false", "yes", ""])
def test_ray_reads_its_switch_as_we_do(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RAYS_SWITCH, value)
    with structlog.testing.capture_logs() as logs:
        warn_of_slow_actors()
    loop = get_new_event_loop()
    assert isinstance(loop, uvloop.Loop) is not bool(logs)
    loop.close()
