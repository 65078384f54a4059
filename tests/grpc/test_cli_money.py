"""`reception budget show`, `set`, `report`, `forecast` and `verify` on a real database."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from actors.cost import CostController
from actors.settings import Settings
from actors.storage import schema
from actors.storage.calls import CallStore
from cluster.cli import app
from reception.call.record import CallRecord, CallSpec
from reception.money.scopes import Owner
from reception.provider.base import Usage
from tests.unit.cluster.svg import check_alone

MODEL = "gpt-realtime-2.1-mini"
TURN = Usage(1_000, 200, 512, 64, 20, 900)
DAY_S = 86_400


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"REALTIME_{name.upper()}", raising=False)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/r.db"


def run(url: str, *args: str, columns: int = 80) -> Any:
    given = ["budget", *args, "--database-url", url]
    return CliRunner().invoke(app, given, env={"COLUMNS": str(columns)})


def told(url: str, *args: str) -> Any:
    done = run(url, *args, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def talk(url: str, *, at_s: float, count: int = 2, live: int = 0) -> int:
    """Calls that are over, of tenants in turn, and some that are not; what they cost."""

    async def work(cost: CostController) -> int:
        total = 0
        for number in range(count + live):
            tenant = ("acme", "globex")[number % 2]
            owner = Owner(
                f"s{at_s:.0f}-{number}", f"call-{number}", tenant, "k", MODEL, "tel:+49301", "day",
                "openai",
            )  # fmt: skip
            await cost.open_call(owner)
            if number >= count:
                continue
            await cost.usage(owner.session_id, "r1", MODEL, TURN)
            micros = (await cost.close_call(owner.session_id)).total_micros
            spec = CallSpec(
                owner.call_id, owner.session_id, "l", "tel:+1", owner.number, "inbound", "pcmu",
                8_000, 20, False, "day", {}, tenant, "k", "n", at_s,
            )  # fmt: skip
            record = CallRecord(
                spec, "ended", "", MODEL, at_s + 90, "completed", cost_micros=micros
            )
            CallStore(cost._store).save_call(record)
            total += micros
        return total

    cost = CostController(Settings(database_url=url), lambda: at_s)
    try:
        return asyncio.run(work(cost))
    finally:
        cost.close()


def fits(output: str, columns: int = 80) -> bool:
    return "…" not in output and max(map(len, output.splitlines())) <= columns


# ------------------------------------------------------------------ limits


def test_limits_with_a_bar_each(url: str) -> None:
    spent = talk(url, at_s=time.time(), live=1)
    for scope, window, dollars in (
        ("tenant:acme", "week", "0.10"), ("tenant:*", "day", "1"), ("key:k", "call", "0.5"),
        ("number:*", "rolling-month", "2"), ("profile:*", "call-minute", "0.05"),
        ("provider:x", "hour", "0"),
    ):  # fmt: skip
        done = run(url, "set", scope, window, dollars)
        assert (done.exit_code, done.output.count("\n")) == (0, 1), done.output
    run(url, "set", "tenant:*", "policy", "warn=20", "wrap_up=0")
    shown = run(url, "show")
    assert shown.exit_code == 0, shown.output
    assert fits(shown.output)
    lines = shown.output.splitlines()
    week = lines[lines.index("tenant:acme") + 1]
    assert week.startswith("  week  ")
    assert week.count("█") + week.count("▒") == -(-(spent // 2 + 60_000) * 18 // 100_000)
    assert (week.count("█"), week.split()[-4:]) == (4, ["0.02", "0.06", "0.02", "0.10"])
    nothing = lines[lines.index("provider:x") + 1]
    assert nothing.split()[2:] == ["100", "0.00", "0.00", "0.00", "0.00"]
    assert "policy of tenants without their own: warn at 20 %, wrap_up at 0 %" in shown.output
    found = told(url, "show")
    assert found["policies"] == {"*": {"warn": 20, "wrap_up": 0}}
    days = [(each["of"], each["posted_micros"]) for each in found["limits"]
            if each["scope"] == "tenant:*"]  # fmt: skip
    assert days == [("tenant:acme", spent // 2), ("tenant:globex", spent // 2)]


def test_one_for_each_is_shown_where_there_is_no_own(url: str) -> None:
    talk(url, at_s=time.time())
    run(url, "set", "tenant:*", "day", "1")
    assert "tenant:*" not in run(url, "show").output
    run(url, "set", "tenant:acme", "day", "2")
    found = told(url, "show")["limits"][4:]
    assert [(each.get("of", each["scope"]), each["limit_micros"]) for each in found] == [
        ("tenant:globex", 1_000_000), ("tenant:acme", 2_000_000),
    ]  # fmt: skip
    run(url, "set", "profile:*", "rolling-day", "1")
    run(url, "set", "provider:*", "day", "1")
    assert "provider:openai" in run(url, "show").output


def test_a_limit_is_taken_away(url: str) -> None:
    assert told(url, "set", "global", "day", "12.5") == {
        "scope": "global", "window": "day", "micros": 12_500_000,
    }  # fmt: skip
    assert [each["limit_micros"] for each in told(url, "show")["limits"]][1] == 12_500_000
    assert told(url, "set", "global", "day", "--remove")["micros"] is None
    assert [each["limit_micros"] for each in told(url, "show")["limits"]][1] == 500_000_000


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("tenant:acme", "day"), "one amount of dollars, or --remove"),
        (("tenant:acme", "day", "5", "6"), "one amount of dollars"),
        (("tenant:acme", "day", "5", "--remove"), "one amount of dollars"),
        (("tenant:acme", "day", "much"), "limit is 'much': must be dollars"),
        (("tenant:acme", "day", "nan"), "limit is 'nan': must be dollars"),
        (("tenant:acme", "day", "Infinity"), "limit is 'Infinity': must be dollars"),
        (("tenant:acme", "day", "0.0000001"), "must be dollars as 50 or 0.25, to 6 digits"),
        (("tenant:acme", "year", "5"), "window is 'year': must be one of"),
        (("acme", "day", "5"), "scope is 'acme': must be global, or one of"),
        (("tenant:acme", "day", "5", "--zone", "Mars"), "zone is 'Mars'"),
        (("tenant:acme", "policy", "warn"), "step is 'warn': must be like warn=20"),
        (("tenant:acme", "policy", "dance=5"), "step 'dance' at 5: must be one of"),
        (("key:k", "policy", "warn=5"), "a policy is for tenant:acme, or tenant:*"),
        (("tenant:acme", "policy", "--remove"), "a policy is not removed"),
    ],
)
def test_what_cannot_be_set_is_said_in_one_line(url: str, args: tuple[str, ...], text: str) -> None:
    done = run(url, "set", *args)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert text in done.stderr


# ------------------------------------------------------------------ reports


def test_a_report_by_tenant(url: str) -> None:
    spent = talk(url, at_s=time.time() - 100, count=4)
    shown = run(url, "report", "--by", "tenant")
    assert shown.exit_code == 0, shown.output
    assert fits(shown.output)
    row = next(line.split() for line in shown.output.splitlines() if "globex" in line)
    assert row == ["globex", "2", "2", "3.0", f"{spent / 2e6:.4f}", "0.0000", f"{spent / 6e6:.4f}",
                   f"{spent / 4e6:.4f}", "48%", "2k/2k"]  # fmt: skip
    found = told(url, "report", "--by", "tenant", "--since", "1d")
    assert found["total"]["cost_micros"] == spent
    assert "next_page_token" not in found
    text = run(url, "report", "--by", "tenant", "--csv").stdout
    assert [each["cost_usd"] for each in csv.DictReader(io.StringIO(text))] == [
        f"{spent / 2e6:.6f}"
    ] * 2


@pytest.mark.parametrize("by", ["call", "key", "number", "profile", "provider", "hour", "day"])
def test_every_report_fits_the_terminal(url: str, by: str) -> None:
    talk(url, at_s=time.time() - 100, count=3)
    shown = run(url, "report", "--by", by, "--limit", "2")
    assert shown.exit_code == 0, shown.output
    assert fits(shown.output), shown.output
    assert ("1 more rows" in shown.output) == (by == "call")


def test_files_have_every_page(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(url, at_s=time.time() - 100, count=5)
    asked = CostController.report

    async def small(
        cost: CostController, by: str, since: str = "", until: str = "", *, page_token: str = ""
    ) -> dict[str, Any]:
        return await asked(cost, by, since, until, 2, page_token)

    monkeypatch.setattr(CostController, "report", small)
    assert "many more rows" in run(url, "report", "--by", "call").output
    assert len(told(url, "report", "--by", "call")["rows"]) == 5
    assert run(url, "report", "--by", "call", "--csv").stdout.count("\n") == 6


def test_a_report_of_nothing(url: str) -> None:
    assert run(url, "report", "--since", "2d", "--until", "1d").output.startswith("no calls began")
    assert run(url, "report", "--csv").stdout == ""
    for args, text in (
        (("--since", "soon"), "since is 'soon'"), (("--csv", "--json"), "--csv, --json and --html"),
        (("--html", "x.html", "--json"), "one of them"),
        (("--html", "x.html", "--by", "tenant"), "by is 'tenant': must be hour or day"),
        (("--html", "x.html", "--by", "hour", "--since", "9w"), "by is 'hour': must be day"),
    ):  # fmt: skip
        done = run(url, "report", *args)
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
        assert text in done.stderr


def test_a_report_as_a_page(url: str, tmp_path: Path) -> None:
    spent = talk(url, at_s=time.time() - 100, count=4)
    run(url, "set", "tenant:acme", "day", "0.10")
    path = tmp_path / "new" / "report.html"
    done = run(url, "report", "--html", str(path), "--by", "hour", "--since", "1d", columns=300)
    assert (done.exit_code, done.output) == (0, f"written: {path}\n")
    found = check_alone(path.read_text(encoding="utf-8"))
    assert f"${spent / 1e6:.4f}spent" in found.text
    assert re.search(rf"acme\${spent / 2e6:.4f}\$0\.0000223\.0", found.text)
    assert re.search(r"call-3\d{4}-\d\d-\d\d \d\d:\d\dglobextel:\+49301day", found.text)
    assert "US dollars by hour" in found.text
    empty = run(url, "report", "--html", str(path), "--since", "3d", "--until", "2d")
    assert empty.exit_code == 0
    assert "nothing in this time" in check_alone(path.read_text(encoding="utf-8")).text
    nowhere = run(url, "report", "--html", f"{path}/x.html")
    assert (nowhere.exit_code, nowhere.stderr.count("\n")) == (1, 1)


# ------------------------------------------------------------------ the forecast


def test_a_forecast_before_and_after_there_is_enough(url: str) -> None:
    talk(url, at_s=time.time() - 100)
    shown = run(url, "forecast")
    assert shown.exit_code == 0, shown.output
    assert "method: unknown" in shown.output
    assert fits(shown.output)
    now_s = time.time()
    first = int(now_s // 900 - 16 * 7 * 96) * 900
    cost = CostController(Settings(database_url=url))
    slots = [{"scope": "tenant:acme", "slot_s": slot, "micros": 10_000 + slot % 997}
             for slot in range(first, int(now_s - 1_800), 900)]  # fmt: skip
    with cost._store.transaction() as connection:
        connection.execute(sa.delete(schema.spending))
        connection.execute(sa.insert(schema.spending), slots)
    cost.close()
    run(url, "set", "tenant:acme", "month", "10")
    run(url, "set", "tenant:acme", "week", "0.05")
    run(url, "set", "tenant:acme", "rolling-day", "10")
    found = {each["window"]: each for each in told(url, "forecast", "tenant:acme")["windows"]}
    assert found["month"]["low_micros"] <= found["month"]["expected_micros"]
    shown = run(url, "forecast", "tenant:acme")
    assert fits(shown.output)
    assert "method: Holt-Winters" in shown.output
    row = next(line for line in shown.output.splitlines() if line.startswith(" month"))
    assert f"{found['month']['expected_micros'] / 1e6:.2f}" in row
    rolling = found["rolling-day"]
    assert [len(each["course"]) for each in found.values()] == [0, 0, 12]
    assert rolling["course"][-1]["expected_micros"] == rolling["expected_micros"]
    assert rolling["expected_micros"] == pytest.approx(96 * 10_500, rel=0.1)
    row = next(line for line in shown.output.splitlines() if line.startswith(" rolling-day"))
    assert f"{rolling['expected_micros'] / 1e6:.2f}" in row
    assert "a rolling window: as it is after one length" in shown.output
    assert "has no limit over a time" in run(url, "forecast", "key:k").output
    assert run(url, "forecast", "tenant:*").exit_code == 1


# ------------------------------------------------------------------ verification


def test_what_agrees_and_what_does_not(url: str) -> None:
    talk(url, at_s=time.time() - 100)
    good = run(url, "verify")
    assert (good.exit_code, good.output) == (
        0, "the ledger adds up, and call records agree with it\n",
    )  # fmt: skip
    assert told(url, "verify") == {"differences": []}
    cost = CostController(Settings(database_url=url))
    with cost._store.transaction() as connection:
        connection.execute(
            sa.update(schema.calls).where(schema.calls.c.tenant == "acme").values(cost_micros=3)
        )
    cost.close()
    bad = run(url, "verify")
    assert bad.exit_code == 1
    assert bad.output.startswith("call call-0 (session s")
    assert "its record costs 3, its account" in bad.output
    assert bad.output.count("\n") == 1
    shown = run(url, "verify", "--json")
    assert (shown.exit_code, len(json.loads(shown.stdout)["differences"])) == (1, 1)


def test_a_providers_export_in_each_form(url: str, tmp_path: Path) -> None:
    midnight_s = time.time() // DAY_S * DAY_S
    day = time.strftime("%Y-%m-%d", time.gmtime(midnight_s - DAY_S))
    talk(url, at_s=midnight_s - 3_600)
    counts = {"input_text": 2_000, "input_audio": 400, "cached_text": 1_024, "cached_audio": 128,
              "output_text": 40, "output_audio": 1_800}  # fmt: skip
    row = {"day": day, "model": MODEL} | counts
    openai = {
        "model": f"{MODEL}-2026-05-06", "input_tokens": 2_400, "input_cached_tokens": 1_152,
        "output_tokens": 1_840, "input_text_tokens": 976, "input_audio_tokens": 272,
        "input_cached_text_tokens": 1_024, "input_cached_audio_tokens": 128,
        "output_text_tokens": 40, "output_audio_tokens": 1_800,
    }  # fmt: skip
    bucket = {"start_time": int(midnight_s - DAY_S), "end_time": int(midnight_s),
              "results": [openai]}  # fmt: skip
    files = {
        "rows.csv": f"{','.join(row)}\n{','.join(map(str, row.values()))}\n",
        "rows.json": json.dumps([row]),
        "page.json": json.dumps({"object": "page", "data": [bucket], "has_more": False}),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.write_text(text)
        same = run(url, "verify", "--usage-export", str(path))
        assert (same.exit_code, "the provider counts the same tokens" in same.output) == (0, True)
        path.write_text(text.replace("1800", "1799"))
        other = run(url, "verify", "--usage-export", str(path))
        assert other.exit_code == 1
        assert f"{day} {MODEL} output_audio: the provider counts 1799 tokens, we 1800 (+1)\n" in (
            other.output
        )
        assert json.loads(run(url, "verify", "--usage-export", str(path), "--json").stdout)[
            "usage_export"
        ]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.json", "[", "Expecting value"),
        ("a.json", "[5]", "is no page of organization/usage/completions"),
        ("a.json", "[]", "has no buckets"),
        ("a.json", '[{"day": "2026-11-24", "model": "m", "input": 1}, 5]', "row 2: it is 5"),
        ("a.csv", "day,model\n2026-11-24,m\n", "counts is None: must be one at least"),
    ],
)
def test_an_export_that_is_wrong_is_one_line(
    url: str, tmp_path: Path, name: str, text: str, fault: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    done = run(url, "verify", "--usage-export", str(path))
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert name in done.stderr
    assert fault in done.stderr


# ------------------------------------------------------------------ an invoice


def test_an_invoice_in_each_form(url: str, tmp_path: Path) -> None:
    now_s = time.time()
    cost = talk(url, at_s=now_s - 60)
    row = {"kind": "response", "id": "r9", "model": MODEL, "input_text": "", "output_audio": 5}
    path = tmp_path / "rows.csv"
    path.write_text(f"{','.join(row)}\n{','.join(map(str, row.values()))}\n")
    dry = run(url, "reconcile", str(path), "--dry-run")
    assert dry.output == (
        "response r9: not billed before (+5 tokens, +0 ms, +100 micro-dollars)\n"
        "1 items: 0 would be corrected, 1 would be added, +$0.000100\n"
    )
    assert told(url, "report")["total"]["cost_micros"] == cost
    assert "1 items: 0 corrected, 1 added, +$0.000100" in run(url, "reconcile", str(path)).output
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row | {"output_audio": 4}]))
    assert told(url, "reconcile", str(path)) == {
        "items": 1, "corrected": 1, "added": 0, "micros": -20, "differences": [],
        "corrections": ["response r9: billed otherwise (-1 tokens, +0 ms, -20 micro-dollars)"],
    }  # fmt: skip
    again = run(url, "reconcile", str(path))
    assert (again.exit_code, again.output) == (0, "1 items: nothing is to be corrected\n")
    assert told(url, "verify") == {"differences": []}
    assert told(url, "report")["total"]["cost_micros"] == cost + 80


def test_what_an_invoice_lacks_is_told(url: str, tmp_path: Path) -> None:
    talk(url, at_s=time.time() - 60, count=1)
    row = {"kind": "response", "model": MODEL} | asdict(TURN)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row | {"id": f"x{number}"} for number in range(101)]))
    done = run(url, "reconcile", str(path), "--provider", "openai")
    assert (done.exit_code, done.output.splitlines()[100]) == (0, "and 1 more corrections")
    talk(url, at_s=time.time() - 50, count=1)
    path.write_text(json.dumps([row | {"id": "r1", "model": "unknown"}]))
    done = run(url, "reconcile", str(path), "--provider", "openai")
    assert (done.exit_code, done.output.splitlines()[1]) == (
        1, "1 items: nothing is to be corrected",
    )  # fmt: skip
    assert "response r1: it can't be corrected: model 'unknown' has no price" in done.output


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.json", "[", "Expecting value"),
        ("a.json", "{}", "the invoice is no list of items"),
        ("a.json", "[5]", "row 1: it is 5"),
        ("a.csv", "kind,id\nresponse,r1\n", "what it used is None: must be one at least"),
    ],
)
def test_an_invoice_that_is_wrong_is_one_line(
    url: str, tmp_path: Path, name: str, text: str, fault: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    done = run(url, "reconcile", str(path))
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert name in done.stderr
    assert fault in done.stderr
