"""What a node hears of its calls, over a real socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import actors.call_news
from actors.assignment import Assignment, ProviderConfig
from actors.call_news import CallNews
from actors.gossip import Listener
from reception.call.progress import decode
from reception.call.record import CallRecord
from tests.actors.test_session import FakeActor
from tests.unit.call.example import PROFILE, SPEC
from tests.waiting import patience


async def test_a_node_that_does_not_listen_yet_hears_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors.call_news, "AGAIN_S", 0.05)
    path = str(tmp_path / "news")
    known, now = (CallRecord(SPEC, state, "listening", "m") for state in ("connecting", "active"))
    told = iter([known])
    assignment = Assignment(SPEC, PROFILE, "m", "", ProviderConfig("", "", "m"), "pcmu", path)
    agent: Any = FakeActor()
    news = CallNews(
        assignment, agent, lambda: next(told, now), lambda: b"", lambda work: work.close()
    )
    news.soon()
    await asyncio.sleep(0.3)  # nobody listens
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    listener = Listener(path, heard.put_nowait)
    async with patience():
        assert decode(await heard.get()).state == "active"
    news.stop()
    listener.close()
