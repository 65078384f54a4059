"""Alerts to a real HTTP server that refuses, stands still, or is not there at first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from actors import webhook
from actors.alerts import to_log
from actors.cost import CostController
from actors.settings import Settings
from actors.webhook import Webhook
from reception.money import hook
from reception.money.alerts import Alert, Measure
from reception.money.scopes import Owner
from reception.money.windows import Window
from reception.provider.base import Usage
from tests.waiting import until

MODEL = "gpt-realtime-2.1-mini"


@dataclass
class Server:
    """Answers with these, then with 204. None: it says nothing for as long as it is asked."""

    answers: list[int | None] = field(default_factory=list)
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value
                for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers["content-length"]))
            self.posts.append((headers | {"": head[0]}, body))
            status = self.answers.pop(0) if self.answers else 204
            if status is None:
                await reader.read()
                return
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.posts]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    serving = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}/alerts"
    yield made
    serving.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "FIRST_S", 0.01)
    monkeypatch.setattr(webhook, "TIMEOUT_S", 1.0)


def alert(scope: str = "global", at_s: float = 1.0) -> Alert:
    return Alert(at_s, scope, Window("day", 0.0, 86_400.0), Measure.POSTED, 70, 0, 7, 10)


async def sent(hooked: Webhook) -> None:
    assert hooked._sending
    await hooked._sending


async def test_a_server_that_refuses_first_gets_it_later_once_and_signed(server: Server) -> None:
    server.answers = [503, 429, None]
    hooked = Webhook(server.url, "secret")
    hooked([alert(), alert("number:+4930100")])
    await sent(hooked)
    assert len(server.posts) >= 4  # an answer may come too late on a busy machine
    assert server.answers == []
    assert len({body for _, body in server.posts}) == 1  # the id is the same
    headers, body = server.posts[-1]
    assert headers[""] == "POST /alerts HTTP/1.1"
    assert headers["content-type"] == "application/json"
    signed = headers[hook.SIGNATURE]
    at_s = int(signed.partition(",")[0].removeprefix("t="))
    assert signed == hook.signature("secret", body, at_s)
    told = json.loads(body)
    assert [each["scope"] for each in told["alerts"]] == ["global", "number"]
    assert "+49" not in body.decode()
    assert told["alerts"][0]["text"] == "global's day: $0.00 of $0.00 spent, 70 % reached"


async def test_a_server_that_is_not_there_yet(server: Server, unused: int) -> None:
    hooked = Webhook(f"http://127.0.0.1:{unused}/", "")
    hooked([alert()])
    assert hooked._sending
    await asyncio.wait([hooked._sending], timeout=0.05)
    assert not hooked._sending.done()
    serving = await asyncio.start_server(server.serve, "127.0.0.1", unused)
    await sent(hooked)
    serving.close()
    assert server.posts
    assert hook.SIGNATURE not in server.posts[-1][0]


@pytest.fixture
async def unused() -> int:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = taken.sockets[0].getsockname()[1]
    taken.close()
    await taken.wait_closed()
    return port


async def test_what_a_server_will_never_take_is_given_up_and_the_next_is_sent(
    server: Server,
) -> None:
    server.answers = [400]
    hooked = Webhook(server.url, "")
    hooked([alert()])
    await sent(hooked)
    hooked([alert(at_s=2.0)])
    await sent(hooked)
    told = {each["id"]: each["alerts"][0]["at_s"] for each in server.told()}
    assert list(told.values()) == [1.0, 2.0]


async def test_it_does_not_try_for_ever(server: Server) -> None:
    server.answers = [500] * 20
    hooked = Webhook(server.url, "")
    hooked([alert()])
    await sent(hooked)
    assert len(server.posts) == hook.MOST_TRIES


async def test_what_waits_is_bounded_and_the_newest_stay(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [None]
    hooked = Webhook(server.url, "")
    hooked([alert()])
    await until(lambda: server.posts)
    for number in range(webhook.MOST_WAITING + 5):
        hooked([alert(at_s=float(number))])
    await sent(hooked)
    told = server.told()
    assert told[0] == told[1]
    assert [each["at_s"] for each in told[-1]["alerts"]] == [
        float(number) for number in range(5, webhook.MOST_WAITING + 5)
    ]


async def test_the_controller_delivers_and_never_waits_for_it(
    server: Server, make: Callable[..., CostController], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.alerts.LOOK_S", 3_600.0)
    server.answers = [None] * 3
    cost = make(alert_webhook=server.url, alert_webhook_secret=SecretStr("secret"))
    await cost.set_limit("global", "day", 100_000, "anna")
    await cost.open_call(Owner("s1", "c", "acme", "key", MODEL))
    await cost.usage("s1", "r1", MODEL, Usage(output_audio=4_000))
    assert {each.percent for each in await cost._watch.look()} == {70}
    await until(lambda: server.posts)
    assert (await cost.close_call("s1")).closed  # while the server says nothing
    assert await until(lambda: len(server.posts) > 3 and server.told()[-1]["alerts"])


def test_a_url_that_is_none_is_refused(settings_for: Callable[..., Settings]) -> None:
    for url in ("ftp://example.org", "example.org", "http://"):
        with pytest.raises(ValidationError, match="must be a URL that begins with http"):
            settings_for("sqlite:///x.db", alert_webhook=url)


def test_without_a_webhook_alerts_are_in_the_log(cost: CostController) -> None:
    assert cost._watch._deliver is to_log
