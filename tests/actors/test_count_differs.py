"""A provider that reports more than it made is told of, and billed as it says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from actors.settings import Settings
from reception.money.alerts import Alert
from tests.actors.stack import Caller, Stack
from tests.waiting import until
from voice.interfaces import CallTool, Question, Say
from voice.realtime.response import Response


class Teller:
    async def answer(self, question: Question) -> AsyncIterator[Say | CallTool]:
        yield Say(question.exactly or "x" * 60)


async def asks_once(caller: Caller) -> None:
    await caller.until_answered(20)
    caller.ask()
    await caller.until_answered(20)
    caller.hang_up()


@pytest.mark.parametrize("percent", [100, 110])
async def test_more_than_two_percent_too_much_is_an_alert(
    percent: int,
    tmp_path: Path,
    sqlite_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = Response.usage

    def usage(self: Response) -> dict[str, Any]:
        found = honest(self)
        out = found["output_token_details"]
        out["audio_tokens"] = out["audio_tokens"] * percent // 100
        found["output_tokens"] = out["audio_tokens"] + out["text_tokens"]
        return found

    monkeypatch.setattr(Response, "usage", usage)
    delivered: list[Alert] = []
    async with Stack(tmp_path, monkeypatch, settings_for(sqlite_url), Teller()) as stack:
        stack.cost._watch._deliver = delivered.extend
        record, _ = await stack.call("c", asks_once)
        if percent > 100:
            await until(lambda: delivered)
        told = (await stack.cost.alerts())["told"]
        assert stack.billed().keys() == stack.invoiced().keys()
    assert (record.stats["usage_differs"] > 0) == (percent > 100)
    assert [(each.scope, each.measure.value, each.window.name) for each in delivered] == [
        ("provider:embedded", "usage", "output_audio")
    ] * (percent > 100)
    assert [each["tokens"] > each["own_tokens"] for each in told] == [True] * len(delivered)
