"""What actors cost that have nothing to do, as Ray's own processes."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
import uvloop

from actors.forks.use import use_forks
from actors.forks.worker import TITLE
from actors.spawn import AT_ONCE, LATER, Remote, spawn
from tests.waiting import PATIENCE_S, wait_until

PATH = "tests.cluster.test_idle_actors:Sleeper"


class Sleeper:
    """Says who it is, and finishes work that began before it rests."""

    async def pid(self) -> int:
        return os.getpid()

    async def frozen(self) -> int:
        return gc.get_freeze_count()

    async def imported(self, *names: str) -> list[str]:
        return [name for name in names if name in sys.modules]

    async def loop(self) -> str:
        return type(asyncio.get_running_loop()).__module__

    async def warm_up(self) -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    async def serve(self) -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    async def work(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"


def _wakings(pid: int) -> int:
    """How often a process's main thread went to sleep so far."""
    for line in Path(f"/proc/{pid}/task/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    raise ValueError(line)


@pytest.fixture(scope="module")
def sleepers() -> Iterator[tuple[Remote, Remote]]:
    """One that rests and one that does not, on a node whose workers are forks."""
    use_forks()
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield spawn(PATH, pooled=True), spawn(PATH)
    ray.shutdown()


def test_who_is_started_ahead_comes_after_all_that_is_live_until_it_serves(
    sleepers: tuple[Remote, Remote],
) -> None:
    ahead, at_once = sleepers
    usual = ray.get(at_once.warm_up.remote())
    if usual != AT_ONCE:  # without the privilege Ray's own stays
        assert ray.get(ahead.warm_up.remote()) == usual
        return
    assert ray.get([ahead.warm_up.remote(), ahead.warm_up.remote()]) == [LATER] * 2
    assert ray.get(ahead.serve.remote()) == AT_ONCE


def test_actors_run_in_uvloops_loop(sleepers: tuple[Remote, Remote]) -> None:
    for each in sleepers:
        assert ray.get(each.loop.remote(), timeout=PATIENCE_S) == uvloop.Loop.__module__


def test_a_main_thread_that_rests_hardly_wakes(sleepers: tuple[Remote, Remote]) -> None:
    pids = [ray.get(each.pid.remote()) for each in sleepers]
    time.sleep(6)  # the first calls are waited for

    def in_two_seconds() -> list[int]:
        before = [_wakings(pid) for pid in pids]
        time.sleep(2)
        return [_wakings(pid) - old for pid, old in zip(pids, before, strict=True)]

    # 8 and 200 on a quiet machine; one that stands still hardly wakes anybody
    wait_until(in_two_seconds, lambda wakings: wakings[0] * 5 < wakings[1])


def test_calls_come_through_and_long_ones_end_while_it_rests(
    sleepers: tuple[Remote, Remote],
) -> None:
    resting, _ = sleepers
    for _ in range(20):
        ray.get(resting.pid.remote(), timeout=PATIENCE_S)
    assert ray.get(resting.work.remote(1.5), timeout=PATIENCE_S) == "done"
    unannounced = Remote(resting._handle)
    assert ray.get(unannounced.pid.remote(), timeout=PATIENCE_S)


def test_what_an_actor_began_with_is_left_out_of_garbage_collection(
    sleepers: tuple[Remote, Remote],
) -> None:
    resting, _ = sleepers
    ray.get(resting.pid.remote())
    assert ray.get(resting.frozen.remote()) > 10_000


def test_an_actor_pays_for_no_classes_that_nobody_sends(sleepers: tuple[Remote, Remote]) -> None:
    resting, _ = sleepers
    assert ray.get(resting.imported.remote("ray", "pydantic", "starlette")) == ["ray"]


def _server(pid: int) -> psutil.Process | None:
    """The fork server that an actor's process came from."""
    parent = psutil.Process(pid).parent()
    if parent is not None and parent.cmdline()[:1] == [TITLE]:
        return parent
    return None


def test_actors_are_forks_that_share_what_they_import(sleepers: tuple[Remote, Remote]) -> None:
    for each in sleepers:
        pid = ray.get(each.pid.remote())
        assert _server(pid)
        own = psutil.Process(pid).memory_full_info()
        assert own.uss < own.rss / 2  # 17 of 70 MB; 43 of 84 where each imports for itself


def test_after_its_death_there_is_another_fork_server(sleepers: tuple[Remote, Remote]) -> None:
    pid = ray.get(sleepers[0].pid.remote())
    server = _server(pid)
    assert server
    server.kill()
    server.wait(PATIENCE_S)
    later = [spawn(PATH) for _ in range(2)]
    assert len({_server(ray.get(each.pid.remote(), timeout=PATIENCE_S)) for each in later}) == 1
    assert ray.get(sleepers[0].pid.remote()) == pid  # went on
    for each in later:
        each.kill()


def test_who_rests_is_killed_at_once(sleepers: tuple[Remote, Remote]) -> None:
    resting, _ = sleepers
    pid = ray.get(resting.pid.remote())
    time.sleep(0.5)
    resting.kill()

    def state() -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return "gone"

    wait_until(state, lambda state: state in ("gone", "Z"))
