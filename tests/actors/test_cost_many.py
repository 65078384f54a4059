"""A thousand holds at once against a limit for exactly k: exactly k are admitted.

MONEY_RUNS=100 makes a hundred runs of each test instead of one.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors.cost import CostController
from actors.settings import Settings
from reception.money.scopes import Owner
from tests import postgres
from tests.fakes.clock import early_in_the_hour

ROOT = Path(__file__).parents[2]
RUNS = int(os.environ.get("MONEY_RUNS", "1"))
MODEL = "gpt-realtime-2.1-mini"
HOLDS, HELD = 1_000, 60_000

# Holds for its share of the calls of each run, until every one is answered. Whoever
# is replaced by one of the others takes their place in turn.
CHILD = """
import asyncio, json, sys, time
from decimal import Decimal
from actors.cost import CostController
from actors.settings import Settings
from reception.errors import Fenced, Unavailable
from reception.money.scopes import Owner

def clock():
    return time.time() + float(sys.argv[1])

async def hold_all(url, limit, sessions):
    left, admitted, terms = set(sessions), [], 0
    while left:
        try:
            settings = Settings(database_url=url, cost_limit_hourly=Decimal(limit))
            cost = CostController(settings, clock)
        except Unavailable:  # SQLite does not wait where it finds another one closing
            continue
        terms += 1
        async def hold(session):
            owner = Owner(session, "c", "acme", "k", "gpt-realtime-2.1-mini")
            try:
                answer = await cost.open_call(owner)
            except (Fenced, Unavailable):
                return
            left.discard(session)
            if answer.admitted:
                admitted.append(session)
        await asyncio.gather(*(hold(session) for session in sorted(left)))
        cost.close()
    return {"admitted": sorted(admitted), "terms": terms}

print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(asyncio.run(hold_all(*json.loads(line)))), flush=True)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], str]:
    """A database of its own for each run."""
    if request.param == "sqlite":
        return lambda run: f"sqlite:///{tmp_path}/run{run}.db"
    running = request.getfixturevalue("postgresql")

    def make(run: int) -> str:
        database = postgres.database(running, f"{tmp_path.name}_{run}")
        request.addfinalizer(lambda: database.__exit__(None, None, None))
        return database.__enter__()

    return make


def answer_of(child: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that is no line of the log."""
    assert child.stdout is not None
    while (line := child.stdout.readline())[:1] != "{":
        assert line, "the process is gone"
    answer: dict[str, Any] = json.loads(line)
    return answer


async def held_at_the_end(settings: Settings, clock: Callable[[], float]) -> int:
    cost = CostController(settings, clock)
    try:
        assert await cost.check() == []
        held: int = (await cost.totals())["held_micros"]
        return held
    finally:
        cost.close()


@pytest.mark.timeout(300 + 10 * RUNS)
async def test_one_process(
    fresh: Callable[[int], str], settings_for: Callable[..., Settings]
) -> None:
    dice, clock = random.Random(1), early_in_the_hour()
    for run in range(RUNS):
        k = dice.randrange(1, HOLDS)
        limit = Decimal(k * HELD + dice.randrange(HELD)) / 1_000_000
        settings = settings_for(fresh(run), cost_limit_hourly=limit)
        cost = CostController(settings, clock)
        owners = [Owner(f"s{n}", "c", "acme", "k", MODEL) for n in range(HOLDS)]
        dice.shuffle(owners)
        answers = await asyncio.gather(*(cost.open_call(owner) for owner in owners))
        cost.close()
        assert sum(answer.admitted for answer in answers) == k
        assert await held_at_the_end(settings, clock) == k * HELD


@pytest.mark.timeout(300 + 20 * RUNS)
async def test_three_processes(
    fresh: Callable[[int], str], settings_for: Callable[..., Settings]
) -> None:
    dice, clock = random.Random(2), early_in_the_hour()
    moved_s = str(clock() - time.time())
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, moved_s],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for run in range(RUNS):
            k = dice.randrange(1, HOLDS)
            url, limit = fresh(run), Decimal(k * HELD + dice.randrange(HELD)) / 1_000_000
            sessions = [f"s{n}" for n in range(HOLDS)]
            dice.shuffle(sessions)
            for number, child in enumerate(children):
                assert child.stdin is not None
                child.stdin.write(json.dumps([url, str(limit), sessions[number::3]]) + "\n")
                child.stdin.flush()
            found = [answer_of(child) for child in children]
            admitted = [session for each in found for session in each["admitted"]]
            assert len(admitted) == len(set(admitted)) == k
            assert sum(each["terms"] for each in found) >= 3
            settings = settings_for(url, cost_limit_hourly=limit)
            assert await held_at_the_end(settings, clock) == k * HELD
    finally:
        for child in children:
            child.kill()
            child.communicate()
