"""Money in the management API: a real server over a real cost singleton."""

from __future__ import annotations

import asyncio
import csv
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from actors.cost import CostController
from actors.settings import Settings
from actors.storage import audit
from cluster.management import create_app
from reception.errors import Unavailable
from reception.money.scopes import Owner
from reception.provider.base import Usage
from reception.security.admission import UNKNOWN_KEY, Admission
from tests.unit.cluster.svg import check_alone

MODEL = "gpt-realtime-2.1-mini"
NOON_S = 1_795_521_600.0
PREFIX = "/api/v3/management"
ITEM = {"kind": "response", "id": "r", "model": MODEL, "output_text": 1}
PRICES = Path(__file__).parents[2] / "config" / "prices.yaml"


class Actors:
    """The cost singleton, and who is let in: "reads" may read, "manages" may do both."""

    def __init__(self, settings: Settings) -> None:
        self.now_s = NOON_S
        self.cost = CostController(settings, lambda: self.now_s)
        self.down: Exception | None = None
        self.health: dict[str, Any] | None = None

    async def ask(self, role: str, method: str, *args: Any) -> Any:
        if (role, method) == ("security", "admit"):
            key, _, scope = args
            if key == "none":  # as of this machine, with --insecure-dev
                return Admission(True, "dev")
            if key == "manages" or (key == "reads" and scope == "read"):
                return Admission(True, "t", f"id-{key}")
            return UNKNOWN_KEY
        if role == "cost":
            if self.down is not None:
                raise self.down
            return await getattr(self.cost, method)(*args)
        if role == "health":
            if self.health is None:
                raise TimeoutError
            return self.health
        if role == "agent":
            pool = {"ready": 1}
            admission = {"refused": [], "limit": 5}
            usage = {"usage_differs": 0, "usage_estimated": 0}
            return {"live": 0, "ended": 0, "pool": pool, "admission": admission} | usage
        return {"accepted": 0, "refused": {}, "setup_p50_ms": 0, "setup_p95_ms": 0,
                "dropped_audio": 0, "without_ledger": 2}  # fmt: skip


@pytest.fixture
def actors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Actors]:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"REALTIME_{name.upper()}", raising=False)
    made = Actors(Settings(database_url=f"sqlite:///{tmp_path}/r.db"))
    yield made
    made.cost.close()


@pytest.fixture
def http(actors: Actors) -> Iterator[httpx.Client]:
    bound = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(actors.ask), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    with httpx.Client(base_url=url, headers={"x-api-key": "manages"}, timeout=30) as client:
        yield client
    server.should_exit = True
    thread.join(60)
    bound.close()


def spend(actors: Actors) -> None:
    """A call of 20,000 micro-dollars, and one that holds 60,000."""

    async def work() -> None:
        await actors.cost.open_call(Owner("s1", "c1", "acme", "k", MODEL))
        await actors.cost.usage("s1", "r1", MODEL, Usage(output_audio=1_000))
        await actors.cost.close_call("s1")
        await actors.cost.open_call(Owner("s2", "c2", "acme", "k", MODEL))
        await actors.cost._watch.look()

    asyncio.run(work())


def changed(actors: Actors) -> list[tuple[str, str]]:
    with actors.cost._store.reading() as connection:
        return [(entry.actor, entry.action) for entry in audit.page(connection, 0, 100)]


def test_who_needs_no_key_may_set_limits_too(http: httpx.Client, actors: Actors) -> None:
    limit = {"scope": "tenant:acme", "window": "day", "micros": 100_000}
    http.put(
        f"{PREFIX}/budgets/limit", json=limit, headers={"x-api-key": "none"}
    ).raise_for_status()
    assert changed(actors)[-1] == ("anonymous", "set_limit")


def test_limits_are_set_shown_and_taken_away(http: httpx.Client, actors: Actors) -> None:
    limit = {"scope": "tenant:acme", "window": "day", "micros": 100_000}
    assert http.put(f"{PREFIX}/budgets/limit", json=limit).json() == limit | {"zone": ""}
    spend(actors)
    found = http.get(f"{PREFIX}/budgets").json()
    shown = next(each for each in found["limits"] if each["scope"] == "tenant:acme")
    assert shown | {"ends_at_s": 0} == {
        "scope": "tenant:acme", "window": "day", "posted_micros": 20_000, "held_micros": 60_000,
        "left_micros": 20_000, "limit_micros": 100_000, "percent": 80.0, "ends_at_s": 0,
    }  # fmt: skip
    gone = http.delete(f"{PREFIX}/budgets/limit", params={"scope": "tenant:acme", "window": "day"})
    assert gone.json()["micros"] is None
    limits = http.get(f"{PREFIX}/budgets").json()["limits"]
    assert [each["scope"] for each in limits] == ["global"] * 4
    assert changed(actors) == [("id-manages", "set_limit")] * 2


def test_policies_and_prices(http: httpx.Client, actors: Actors) -> None:
    policy = {"tenant": "*", "steps": {"warn": 20, "transfer": 0}}
    assert http.put(f"{PREFIX}/budgets/policy", json=policy).json() == policy
    assert http.get(f"{PREFIX}/budgets").json()["policies"] == {"*": policy["steps"]}
    text = PRICES.read_text(encoding="utf-8")
    before = next(line for line in text.splitlines() if line.startswith("version:"))
    answer = http.put(f"{PREFIX}/budgets/prices", content=text.replace(before, 'version: "9"'))
    assert answer.json() == {"version": "9"}
    assert changed(actors) == [("id-manages", "set_policy"), ("id-manages", "set_prices")]


@pytest.mark.parametrize(
    ("method", "path", "sent", "field", "text"),
    [
        ("PUT", "limit", {"scope": "acme", "window": "day", "micros": 5}, "scope",
         "scope is 'acme': must be global, or one of tenant"),
        ("PUT", "limit", {"scope": "global", "window": "year", "micros": 5}, "window",
         "window is 'year': must be one of hour"),
        ("PUT", "limit", {"scope": "global", "window": "day", "micros": -1}, "micros",
         "limit is -1 micro-dollars: must be 0 to"),
        ("PUT", "limit", {"scope": "global", "window": "day", "micros": 1.5}, "micros",
         "micros is 1.5: must be a valid integer"),
        ("PUT", "limit", {"scope": "global", "window": "day"}, "micros", "micros is needed"),
        ("PUT", "limit", {"scope": "global", "window": "day", "micros": 1, "x": 2}, "x", "x is 2"),
        ("PUT", "limit", {"scope": "global", "window": "day", "micros": 1, "zone": "Mars"},
         "zone", "zone is 'Mars'"),
        ("PUT", "policy", {"tenant": "a", "steps": {"dance": 5}}, "steps", "step 'dance' at 5"),
        ("PUT", "policy", {"tenant": "", "steps": {}}, "tenant", "tenant has 0 characters"),
        ("PUT", "prices", "[", "prices", "prices are no YAML"),
        ("PUT", "prices", b"\xff", "prices", "prices are no UTF-8"),
        ("PUT", "prices", b"#" * 4_000_001, "prices", "more than 4000000 bytes"),
        ("DELETE", "limit?scope=global&window=never", None, "window", "window is 'never'"),
    ],
)  # fmt: skip
def test_bad_input_is_a_problem_that_names_field_value_and_bound(
    http: httpx.Client, actors: Actors, method: str, path: str, sent: Any, field: str, text: str
) -> None:
    body = {"content": sent} if isinstance(sent, str | bytes) else {"json": sent}
    answer = http.request(method, f"{PREFIX}/budgets/{path}", **(body if sent else {}))
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (400, 400)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["field"] == field
    assert text in problem["title"]
    assert changed(actors) == []


@pytest.mark.parametrize(
    ("path", "field", "text"),
    [
        ("report?by=week", "by", "by is 'week': must be one of call"),
        ("report?since=soon", "since", "since is 'soon'"),
        ("report?format=xml", "format", "format is 'xml': must be 'json' or 'csv'"),
        ("report?page_size=5000", "page_size", "page_size is 5000: must be 1 to 1000"),
        ("report.html?by=tenant", "by", "by is 'tenant': must be hour or day"),
        ("report.html?by=hour&since=60d", "by", "must be day for more than 31 days"),
        ("report.html?since=soon", "since", "since is 'soon'"),
        ("report.html?until=later", "until", "until is 'later'"),
        ("forecast?scope=tenant:*", "scope", "must be that of one"),
        ("alerts?limit=0", "at_most", "at_most is 0: must be 1 to 1000"),
        ("alerts?after=9223372036854775808", "after", "must be less than or equal to"),
        ("alerts?since=nan", "since", "since is 'nan'"),
    ],
)
def test_a_bad_question_is_a_problem(http: httpx.Client, path: str, field: str, text: str) -> None:
    answer = http.get(f"{PREFIX}/{path}")
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert text in answer.json()["title"]


def test_only_who_may_manage_changes_and_only_who_may_read_looks(
    http: httpx.Client, actors: Actors
) -> None:
    limit = {"scope": "global", "window": "day", "micros": 1}
    changes = (
        ("PUT", "budgets/limit"), ("DELETE", "budgets/limit?scope=global&window=day"),
        ("PUT", "budgets/policy"), ("PUT", "budgets/prices"), ("POST", "reconcile"),
    )  # fmt: skip
    for method, path in changes:
        for key in ("reads", "nobody"):
            answer = http.request(
                method, f"{PREFIX}/{path}", headers={"x-api-key": key}, json=limit
            )
            assert answer.status_code == 401, path
    looks = (("GET", "budgets"), ("GET", "report"), ("GET", "report.html"),
             ("GET", "forecast"), ("GET", "alerts"), ("POST", "verify"))  # fmt: skip
    for method, path in looks:
        for key, status in (("reads", 200), ("nobody", 401)):
            answer = http.request(method, f"{PREFIX}/{path}", headers={"x-api-key": key})
            assert answer.status_code == status, path
    assert changed(actors) == []


def test_a_forecast_has_rolling_windows_too(http: httpx.Client, actors: Actors) -> None:
    http.put(f"{PREFIX}/budgets/limit",
             json={"scope": "tenant:acme", "window": "rolling-day", "micros": 100_000})  # fmt: skip
    spend(actors)
    found = http.get(f"{PREFIX}/forecast", params={"scope": "tenant:acme"}).json()
    [day] = found["windows"]
    assert (day["window"], day["posted_micros"], day["course"]) == ("rolling-day", 20_000, [])
    assert day["ends_at_s"] == found["at_s"] + 86_400
    assert day["expected_micros"] is None


def test_a_report_as_json_and_csv(http: httpx.Client, actors: Actors) -> None:
    spend(actors)
    actors.now_s += 1
    found = http.get(f"{PREFIX}/report", params={"by": "tenant", "since": "1d"}).json()
    assert found["rows"][0]["tenant"] == "acme"
    assert found["total"]["cost_micros"] == 20_000
    answer = http.get(f"{PREFIX}/report", params={"by": "tenant", "format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert (row["tenant"], row["cost_usd"], row["output_audio"]) == ("acme", "0.020000", "1000")


def test_a_report_as_a_page(http: httpx.Client, actors: Actors) -> None:
    http.put(f"{PREFIX}/budgets/limit",
             json={"scope": "tenant:*", "window": "day", "micros": 100_000})  # fmt: skip
    spend(actors)
    actors.now_s += 1
    for by in ("day", "hour"):
        answer = http.get(f"{PREFIX}/report.html", params={"by": by, "since": "1d"})
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        said = check_alone(answer.text).text
        assert "tenant:acme, day: 80 % of $0.1000 spent or held" in said
        assert "$0.0200spent" in said
    spec = http.get("/openapi.json").json()["paths"][f"{PREFIX}/report.html"]["get"]
    assert set(spec["responses"]["200"]["content"]) == {"text/html"}
    assert [each["name"] for each in spec["parameters"]] == ["by", "since", "until"]


def test_no_page_without_the_cost_singleton_or_a_key(http: httpx.Client, actors: Actors) -> None:
    for headers in ({"x-api-key": "nobody"}, {"x-api-key": ""}):
        answer = http.get(f"{PREFIX}/report.html", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    actors.down = Unavailable("the cost singleton is away")
    assert http.get(f"{PREFIX}/report.html").status_code == 503


def test_pages_of_a_csv_lead_on(http: httpx.Client, actors: Actors) -> None:
    async def calls() -> None:
        for number in range(3):
            await actors.cost.usage(f"s{number}", "r1", MODEL, Usage(output_audio=1))

    asyncio.run(calls())
    actors.now_s += 1
    asked: dict[str, str | int] = {"by": "call", "format": "csv", "page_size": 2}
    first = http.get(f"{PREFIX}/report", params=asked)
    token = first.headers["x-next-page-token"]
    second = http.get(f"{PREFIX}/report", params=asked | {"page_token": token})
    assert (first.text.count("\n"), second.text.count("\n")) == (3, 2)
    assert second.headers["x-next-page-token"] == ""


def test_forecast_alerts_and_verification(http: httpx.Client, actors: Actors) -> None:
    http.put(f"{PREFIX}/budgets/limit",
             json={"scope": "tenant:*", "window": "day", "micros": 100_000})  # fmt: skip
    spend(actors)
    assert http.get(f"{PREFIX}/forecast").json()["method"] == "unknown"
    alerts = http.get(f"{PREFIX}/alerts").json()
    assert [(each["scope"], each["percent"]) for each in alerts["in_force"]] == [
        ("tenant:acme", 70)
    ]
    last = alerts["told"][-1]["id"]
    assert http.get(f"{PREFIX}/alerts", params={"after": last}).json()["told"] == []
    assert http.post(f"{PREFIX}/verify").json()["differences"] == []


def test_an_invoice_is_reconciled(http: httpx.Client, actors: Actors) -> None:
    spend(actors)
    item = {"kind": "response", "id": "r1", "model": MODEL, "output_audio": 1_001}
    new = item | {"id": "r2", "output_audio": 1}
    dry = http.post(f"{PREFIX}/reconcile", json={"items": [item, new], "dry_run": True}).json()
    assert changed(actors) == []
    done = http.post(f"{PREFIX}/reconcile", json={"items": [item, new]}).json()
    assert done == dry
    assert (done["corrected"], done["added"], done["micros"]) == (1, 1, 40)
    assert changed(actors) == [("id-manages", "reconcile")]
    again = http.post(f"{PREFIX}/reconcile", json={"items": [item, new]}).json()
    assert (again["corrected"], again["added"], again["differences"]) == (0, 0, [])
    assert http.post(f"{PREFIX}/verify").json()["differences"] == []


@pytest.mark.parametrize(
    ("sent", "field", "text"),
    [
        ({"items": []}, "items", "items is []: List should have at least 1 item"),
        ({"items": [{"kind": "call"}]}, "invoice", "row 1: kind is 'call': must be one of"),
        ({"items": [{}], "dry_run": 1}, "dry_run", "dry_run is 1: must be a valid boolean"),
        ({"items": [ITEM] * 10_001}, "items", "List should have at most 10000 items"),
        ({"items": [ITEM], "provider": "p" * 65}, "provider", "provider has 65 characters"),
    ],
)
def test_what_no_invoice_is(
    http: httpx.Client, actors: Actors, sent: Any, field: str, text: str
) -> None:
    answer = http.post(f"{PREFIX}/reconcile", json=sent)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert text in answer.json()["title"]
    assert changed(actors) == []


def test_the_provider_in_the_metrics(http: httpx.Client, actors: Actors) -> None:
    assert "reception_provider" not in http.get("/metrics").text
    refused = [
        {"cause": "provider_away", "priority": "normal", "count": 4},
        {"cause": "provider_tokens", "priority": "batch", "count": 2},
    ]
    dials = {"up": 7, "failed": 1, "refused": 3}
    actors.health = {"state": "half_open", "refused": refused, "dials": dials}
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(http.get("/metrics").text)
        for sample in family.samples
        if family.name.startswith("reception_provider")
    }
    assert found == {
        ("reception_provider_refused_total", "normal", "provider_away"): 4,
        ("reception_provider_refused_total", "batch", "provider_tokens"): 2,
        ("reception_provider_dials_total", "up"): 7,
        ("reception_provider_dials_total", "failed"): 1,
        ("reception_provider_dials_total", "refused"): 3,
        ("reception_provider_breaker", "closed"): 0,
        ("reception_provider_breaker", "open"): 0,
        ("reception_provider_breaker", "half_open"): 1,
    }


def test_money_in_the_metrics(http: httpx.Client, actors: Actors) -> None:
    http.put(f"{PREFIX}/budgets/limit",
             json={"scope": "tenant:*", "window": "day", "micros": 100_000})  # fmt: skip
    spend(actors)
    usage = Usage(100, 50, 40, 10, 7, 70)
    asyncio.run(actors.cost.usage("s2", "r1", MODEL, usage))
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(http.get("/metrics").text)
        for sample in family.samples
    }
    posted = asyncio.run(actors.cost.totals())["posted_micros"]
    assert found["reception_spent_usd_total",] == posted / 1e6
    assert found["reception_holds",] == 1
    assert found["reception_tokens_total", "audio", MODEL, "output"] == 1_070
    assert found["reception_tokens_total", MODEL, "input", "text"] == 100
    assert found["reception_cached_tokens_total", "audio", MODEL] == 10
    assert found["reception_budget_usd", "day", "limit"] == 500
    assert found["reception_budget_usd", "day", "posted"] == posted / 1e6
    assert found["reception_limit_alerts_total", "70", "committed"] == 1
    assert found["reception_overdraft_usd_total",] == 0


@pytest.mark.parametrize(
    ("error", "status"), [(Unavailable("down", retry_after_s=2.0), 503), (TimeoutError(), 504)]
)
def test_a_singleton_that_does_not_answer(
    http: httpx.Client, actors: Actors, error: Exception, status: int
) -> None:
    actors.down = error
    answer = http.get(f"{PREFIX}/budgets")
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers.get("retry-after") == ("2" if status == 503 else None)
