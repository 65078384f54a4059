"""A singleton killed in the middle of its work loses nothing that it answered."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from actors.cost import CostController
from actors.security import SecurityGuard
from actors.settings import Settings
from actors.storage import schema
from reception.provider.base import Usage

ROOT = Path(__file__).parents[2]
MODEL = "gpt-realtime-2.1-mini"
ROUNDS = 5

# Posts usage in order, many at once, and says each response's id when it is answered.
COST_CHILD = """
import asyncio, sys
from actors.cost import CostController
from actors.settings import Settings
from reception.money.scopes import Owner
from reception.provider.base import Usage

async def main(url, first):
    cost = CostController(Settings(database_url=url))
    await cost.open_call(Owner("s1", "c1", "t", "k", "gpt-realtime-2.1-mini"))
    print("ready", flush=True)
    async def post(number):
        used = Usage(output_audio=number + 1)
        await cost.usage("s1", f"r{number}", "gpt-realtime-2.1-mini", used)
        print(number, flush=True)
    for start in range(first, 1_000_000, 8):
        await asyncio.gather(*(post(start + n) for n in range(8)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""

SECURITY_CHILD = """
import asyncio, sys
from actors.security import SecurityGuard
from actors.settings import Settings

async def main(url, round):
    guard = SecurityGuard(Settings(database_url=url))
    await guard.ping()
    print("ready", flush=True)
    async def ask(number):
        await guard.admit(None, f"{round}-{number}", "call")
        print(number, flush=True)
    for start in range(0, 1_000_000, 8):
        await asyncio.gather(*(ask(start + n) for n in range(8)))

asyncio.run(main(*sys.argv[1:]))
"""


def answered_before_kill(program: str, args: list[str], lines: int) -> list[int]:
    """Runs a child, kills it (SIGKILL) after it answered `lines` times, and
    gives all the answers that came out, whole ones only."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *args], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        heard = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        heard += child.stdout.readlines()
    return [int(line) for line in heard if line.endswith("\n")]


def test_no_bill_is_lost_or_counted_twice(
    database_url: str, settings_for: Callable[..., Settings]
) -> None:
    dice, answered, first = random.Random(3), set[int](), 0
    for _ in range(ROUNDS):
        new = answered_before_kill(COST_CHILD, [database_url, str(first)], dice.randrange(1, 60))
        answered.update(new)
        first = max(answered) - 3  # the last ones are sent again, answered or not
    asyncio.run(_check_bills(settings_for(database_url), answered))


async def _check_bills(settings: Settings, answered: set[int]) -> None:
    cost = CostController(settings)
    assert await cost.check() == []
    with cost._store.reading() as connection:
        rows = connection.execute(sa.select(schema.usage.c.response_id, schema.usage.c.cost_micros))
        bills = {int(row.response_id[1:]): row.cost_micros for row in rows}
    assert answered <= set(bills)
    assert all(micros == 20 * (number + 1) for number, micros in bills.items())
    assert (await cost.ping())["epoch"] == ROUNDS + 1
    for number in answered:
        charge = await cost.usage("s1", f"r{number}", MODEL, Usage(output_audio=number + 1))
        assert charge.call_total_micros == sum(bills.values())
    total = await cost.close_call("s1")
    assert (total.total_micros, total.responses) == (sum(bills.values()), len(bills))
    assert (await cost.totals())["held_micros"] == 0
    cost.close()


def test_every_answer_is_in_the_audit_trail(
    database_url: str, settings_for: Callable[..., Settings]
) -> None:
    dice, answered = random.Random(4), set[str]()
    for number in range(3):
        args = [database_url, str(number)]
        heard = answered_before_kill(SECURITY_CHILD, args, dice.randrange(1, 60))
        answered.update(f"{number}-{each}" for each in heard)
    guard = SecurityGuard(settings_for(database_url))
    assert asyncio.run(guard.verify_audit()) == ""
    with guard._store.reading() as connection:
        kept = connection.execute(sa.select(schema.audit.c.detail)).scalars()
        peers = [json.loads(detail)["peer"] for detail in kept]
    assert answered <= set(peers)
    assert len(peers) == len(set(peers))
    guard.close()
