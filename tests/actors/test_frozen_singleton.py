"""A singleton that stands still (SIGSTOP) in the middle of its writing, is replaced, and
wakes up later: it holds up nobody, and can write nothing any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.cost import CostController
from actors.settings import Settings
from reception.money.scopes import Owner
from reception.provider.base import Usage

pytestmark = pytest.mark.timeout(120)
ROOT = Path(__file__).parents[2]
MODEL = "gpt-realtime-2.1-mini"

# It bills a call until the event of this name, stands still there, and goes on with the next
# bill once it is awake; it prints what became of each.
FROZEN = """
import asyncio, signal, sys, threading
import sqlalchemy as sa
from actors.cost import CostController
from actors.settings import Settings
from actors.storage import writer
from reception.errors import ReceptionError
from reception.money.scopes import Owner
from reception.provider.base import Usage

URL, POINT, MODEL = sys.argv[1:]

def still(*_):
    if still.due:
        still.due = False
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # this thread, at once

still.due = False

async def bill(cost, response):
    try:
        charge = await cost.usage("s", response, MODEL, Usage(output_audio=100))
    except ReceptionError as error:
        return type(error).__name__
    return charge.call_total_micros

async def main():
    cost = CostController(Settings(database_url=URL))
    assert (await cost.open_call(Owner("s", "c", "t", "k", MODEL))).admitted
    print(await bill(cost, "r1"), flush=True)
    if POINT == "between":
        answer = writer._answer
        writer._answer = lambda batch: (answer(batch), still())
    else:
        sa.event.listen(cost._store.engine, POINT, still)
    still.due = True
    for response in ("r2", "r3", "r4"):
        print(await bill(cost, response), flush=True)

asyncio.run(main())
"""


@pytest.fixture(params=["between", "after_cursor_execute", "commit"])
def point(request: pytest.FixtureRequest, database_url: str) -> str:
    """Where it stands still; in a transaction on PostgreSQL only: SQLite's lock is of the
    file's own machine, which stands still as a whole."""
    if request.param != "between" and database_url.startswith("sqlite"):
        pytest.skip("a node that stands still takes its SQLite file with it")
    return str(request.param)


async def test_it_is_fenced_when_it_wakes_up(database_url: str, point: str) -> None:
    old = subprocess.Popen(
        [sys.executable, "-c", FROZEN, database_url, point, MODEL],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _, status = os.waitpid(old.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), status
        new = CostController(Settings(database_url=database_url))
        assert (await new.ping())["epoch"] == 2
        known = (await new.usage("s", "r9", MODEL, Usage(output_audio=100))).call_total_micros
        assert (await new.open_call(Owner("s2", "c", "t", "k", MODEL))).admitted
        old.send_signal(signal.SIGCONT)
        told, _ = old.communicate()
        first, second, *after = told.split()
        assert after == ["Fenced"] * 2
        bills = 2 if point != "between" else 3  # with r9
        assert (second == f"{2 * int(first)}") is (point == "between")
        assert known == bills * int(first)
        again = await new.usage("s", "r2", MODEL, Usage(output_audio=100))  # by its id once
        assert again.call_total_micros == 3 * int(first)
        assert await new.check() == []
        new.close()
    finally:
        old.kill()
        old.wait()
