"""The cost singleton killed (SIGKILL) at seeded points of its writing.

Each life of the singleton goes on with the database of the one before it. It first
compares what is written with what was answered, then works until the statement, the
commit or the answer at which it dies. MONEY_KILLS=200 kills it that often.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EVERYTHING = {
    "open", "close", "response", "transcription", "adjustment", "model", "lease open", "claim",
    "lease close", "limit", "policy", "alert", "response of an invoice",
    "adjustment of an invoice",
}  # fmt: skip
KILLS = int(os.environ.get("MONEY_KILLS", "12"))

# The imports are done once; each life is a fork of this process, which has no threads.
LIVES = """
import asyncio, json, os, random, signal, sys
import sqlalchemy as sa
from actors.cost import CostController
from actors.settings import Settings
from actors.storage import schema, writer
from reception.errors import InvalidRequest, NotFound
from reception.money.invoice import Item
from reception.money.leases import Claim
from reception.money.scopes import Owner
from reception.provider.base import Usage

MODEL, FULL = "gpt-realtime-2.1-mini", "gpt-realtime-2.1"
HELD, TAIL = 60_000, 20_000  # 30 and 15 s of MODEL
NEAR = "tenant:near"  # its limits have alerts

def owner(session, tenant):
    return Owner(session, "c", tenant, "k", MODEL, "1", "p")

class Log:
    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def note(self, *what):
        os.write(self.file, (json.dumps(what) + "\\n").encode())

    def read(self):
        with os.fdopen(os.dup(self.file)) as file:
            file.seek(0)
            return [json.loads(line) for line in file]

class Points:
    "Kills this process at the point of a number, once there is one."

    def __init__(self, engine):
        self.left = None
        for event in ("before_cursor_execute", "after_cursor_execute", "commit"):
            sa.event.listen(engine, event, self.passed)
        answer = writer._answer
        def answering(batch):
            self.passed()
            answer(batch)
            self.passed()
        writer._answer = answering

    def passed(self, *_):
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

async def compare(cost, asked, answered):
    "What is written is all that was answered, and nothing that was not asked for."
    assert await cost.check() == []
    with cost._store.reading() as connection:
        rows = connection.execute(sa.select(schema.usage))
        bills = {(row.session_id, row.kind, row.response_id): row.cost_micros for row in rows}
        accounts = {row.session_id: row for row in connection.execute(sa.select(schema.accounts))}
        held = {
            session: sum(amounts) for session, amounts in entries(connection).items()
        }
        told = [list(row) for row in connection.execute(sa.select(
            schema.alerts.c.scope, schema.alerts.c.period, schema.alerts.c.start_s,
            schema.alerts.c.measure, schema.alerts.c.percent,
        ).where(schema.alerts.c.percent > schema.alerts.c.from_percent))]
        standing = {
            "limit": dict(connection.execute(
                sa.select(schema.limits.c.scope, schema.limits.c.micros)
            ).all()),
            "policy": {
                tenant: json.loads(steps)["warn"] for tenant, steps in connection.execute(
                    sa.select(schema.policies.c.tenant, schema.policies.c.steps)
                )
            },
        }
    assert len(set(map(tuple, told))) == len(told), "an alert was told twice"
    for kind, rows in standing.items():
        for of, asked_for in last(kind, asked, answered).items():
            assert rows.get(of) in asked_for, (kind, of, rows.get(of), asked_for)
    known = {tuple(key): cost for kind, key, cost in answered if kind == "bill"}
    may = {tuple(key): cost for kind, key, cost in asked if kind == "bill"}
    assert {key: bills.get(key) for key in known} == known
    assert bills.items() <= may.items()
    for kind, session, what in answered:
        if kind == "open":
            assert session in accounts and held[session] >= what
        elif kind == "close":
            assert accounts[session].closed and accounts[session].held_micros == 0
        elif kind == "model":
            assert accounts[session].model == what
        elif kind == "alert":
            assert what in told, what
    for session, row in accounts.items():
        assert row.total_micros == sum(c for (s, *_), c in bills.items() if s == session)
    totals = await cost.totals()
    assert totals["posted_micros"] == sum(bills.values())

def last(kind, asked, answered):
    "What was set last: what was answered last, or what was asked for after it."
    found = {}
    for each, of, value in asked:
        if each == kind:
            found.setdefault(of, [None]).append(value)
    for each, of, value in answered:
        if each == kind:
            found[of] = found[of][found[of].index(value):]
    return found

def entries(connection):
    found = {}
    for row in connection.execute(sa.select(schema.ledger).where(
        schema.ledger.c.debit == "held"
    )):
        found.setdefault(row.session_id, []).append(row.amount_micros)
    return found

async def live(url, seed, asked, answered):
    cost = CostController(Settings(database_url=url, cost_limit_hourly=1000))
    points = Points(cost._store.engine)
    await compare(cost, asked.read(), answered.read())
    for kind, key, micros in answered.read()[-20:]:  # sent again: it is known
        if kind == "bill" and key[1] == "response" and key[0][0] == "s":
            charge = await cost.usage(key[0], key[2], MODEL, Usage(output_audio=micros // 20))
            assert charge.cost_micros == micros
    await compare(cost, asked.read(), answered.read())
    answered.note("alive", (await cost.ping())["epoch"], seed)
    dice = random.Random(seed)
    points.left = dice.randrange(1, 900)
    billed = {}  # tokens

    async def open_(session):
        asked.note("open", session, 0)
        hold = await cost.open_call(owner(session, dice.choice(["a", "b", "near"])))
        if hold.admitted:
            answered.note("open", session, hold.held_micros)

    async def use(session, number):
        key = session, "response", f"r{seed}.{number}"
        micros = 20 * dice.randrange(1, 2_000)
        asked.note("bill", key, micros)
        billed[key[2]] = micros // 20
        charge = await cost.usage(session, key[2], MODEL, Usage(output_audio=micros // 20))
        answered.note("bill", key, charge.cost_micros)

    async def adjust(session, number):
        key, micros = (session, "adjustment", f"a{seed}.{number}"), dice.randrange(-500, 500)
        asked.note("bill", key, micros)
        try:
            await cost.adjust(session, key[2], micros, "test", "because")
        except (InvalidRequest, NotFound):
            return
        answered.note("bill", key, micros)

    async def close(session):
        asked.note("close", session, 0)
        await cost.close_call(session)
        answered.note("close", session, 0)

    async def change_model(session):
        if await cost.change_model(session, FULL):
            answered.note("model", session, FULL)

    async def words(session, number):
        key, ms = (session, "transcription", f"i{seed}.{number}"), dice.randrange(1, 5_000)
        asked.note("bill", key, ms // 10)
        charge = await cost.transcription(session, key[2], "whisper-1", ms // 10 / 100, 0, 0)
        answered.note("bill", key, charge.cost_micros)

    async def lease(name, calls):
        asked.note("open", name, 0)
        [lease] = await cost.lease(((owner(name, "a"), calls),))
        if lease:
            answered.note("open", name, HELD)

    async def claim(session, name):
        asked.note("open", session, 0)
        hold = await cost.claim(Claim(owner(session, "a"), name, HELD, TAIL, 30.0))
        if hold.admitted:
            answered.note("open", session, hold.held_micros)

    async def give_back(name):
        asked.note("close", name, 0)
        await cost.lease((), (name,))
        answered.note("close", name, 0)

    async def limit(number):
        scope, micros = f"tenant:l{number % 3}", 1_000_000 * (seed + 1) + number
        asked.note("limit", scope, micros)
        await cost.set_limit(scope, "day", micros, "test")
        answered.note("limit", scope, micros)

    async def policy(number):
        tenant, warn = f"p{number % 3}", 100 - (100 * seed + number) % 90
        asked.note("policy", tenant, warn)
        await cost.set_policy(tenant, {"warn": warn, "wrap_up": 0}, "test")
        answered.note("policy", tenant, warn)

    async def reconcile(session, number):
        response = f"x{seed}.{number}"
        micros = 20 * dice.randrange(1, 100)
        if dice.random() < 0.5:  # billed by our own count before
            await use(session, response)
            key = session, "adjustment", f"invoice:response:r{seed}.{response}:0000"
            response = f"r{seed}.{response}"
        else:
            key = f"invoice:response:{response}", "response", response
        asked.note("bill", key, micros)
        used = Usage(output_audio=billed.get(response, 0) + micros // 20)
        done = await cost.reconcile([Item("response", response, MODEL, used)], "test")
        assert done["micros"] == micros, done
        answered.note("bill", key, micros)

    async def alerts():
        for each in await cost._watch.look():
            if each.raised:
                of = each.scope, each.window.name, each.window.start_s
                answered.note("alert", each.scope, [*of, each.measure, each.percent])

    await cost.set_limit(NEAR, "week", 300_000, "test")
    await cost.set_limit(NEAR, "rolling-day", 1_000_000, "test")
    for number in range(0, 10_000, 8):
        work = []
        for each in range(number, number + dice.randrange(1, 9)):
            session = f"s{seed % 3}.{dice.randrange(12)}"
            leased = f"lease:{seed}.{number // 40}"
            seldom = [
                lambda: close(session), lambda: adjust(session, each),
                lambda: change_model(session), lambda: words(session, each),
                lambda: lease(leased, dice.randrange(1, 4)),
                lambda: claim(f"c{seed}.{each}", leased), lambda: reconcile(session, each),
            ]
            do = dice.randrange(16)
            work.append(
                open_(session) if do < 3 else use(session, each) if do < 9 else seldom[do - 9]()
            )
        work.append(dice.choice([limit, policy])(number // 8))
        if number % 16 == 8:
            work.append(alerts())
        if number % 40 == 32:
            work.append(give_back(leased))
        await asyncio.gather(*work)

def what(kind, of, _):
    if kind == "bill":
        return of[1] + (" of an invoice" if "invoice:" in of[0] + of[2] else "")
    if kind == "open" and of[0] == "c":
        return "claim"
    return ("lease " if of.startswith("lease:") else "") + kind

def main(url, folder, kills):
    asked, answered = Log(folder + "/asked"), Log(folder + "/answered")
    for seed in range(kills + 1):
        child = os.fork()
        if child == 0:
            try:
                if seed < kills:
                    asyncio.run(live(url, seed, asked, answered))
                else:  # the last one only looks
                    asyncio.run(compare(
                        CostController(Settings(database_url=url)), asked.read(), answered.read()
                    ))
                    os._exit(0)
            except BaseException:
                import traceback
                traceback.print_exc()
            os._exit(1)
        _, status = os.waitpid(child, 0)
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if seed < kills and not died or seed == kills and status:
            raise SystemExit(f"life {seed}: status {status}")
    lives = [what for what in answered.read() if what[0] == "alive"]
    assert [seed for _, _, seed in lives] == list(range(kills))
    done = [what(*each) for each in answered.read() if each[0] != "alive"]
    print(json.dumps({each: done.count(each) for each in sorted(set(done))}))
    print(len(asked.read()), len(answered.read()) - len(lives))

main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


@pytest.mark.timeout(300 + 2 * KILLS)
def test_replay_equals_what_was_answered(database_url: str, tmp_path: Path) -> None:
    lives = subprocess.run(
        [sys.executable, "-c", LIVES, database_url, str(tmp_path), str(KILLS)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert lives.returncode == 0, lives.stdout[-2_000:] + lives.stderr[-4_000:]
    asked, answered = map(int, lives.stdout.splitlines()[-1].split())
    print(lives.stdout)
    assert json.loads(lives.stdout.splitlines()[-2]).keys() == EVERYTHING
    assert asked > answered > 5 * KILLS
