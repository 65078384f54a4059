"""News over a real Unix socket."""

from __future__ import annotations

import asyncio

import pytest

from actors.gossip import MAX_BYTES, Listener, tell
from tests.waiting import patience


@pytest.fixture
async def heard(tmp_path):
    news: list[bytes] = []
    listener = Listener(str(tmp_path / "n.sock"), news.append)
    yield news
    listener.close()
    assert list(tmp_path.iterdir()) == []


async def until(condition):
    async with patience():
        while not condition():
            await asyncio.sleep(0)


async def test_news_are_heard_in_order(heard, tmp_path):
    for number in range(200):
        assert tell(str(tmp_path / "n.sock"), str(number).encode())
        await asyncio.sleep(0)
    await until(lambda: len(heard) == 200)
    assert heard == [str(number).encode() for number in range(200)]


async def test_the_longest_come_whole(heard, tmp_path):
    assert tell(str(tmp_path / "n.sock"), b"x" * (MAX_BYTES - 1))
    await until(lambda: bool(heard))
    assert len(heard[0]) == MAX_BYTES - 1


async def test_who_tells_never_waits(heard, tmp_path):
    path = str(tmp_path / "n.sock")
    told = sum(tell(path, b"x") for _ in range(10_000))  # nobody reads meanwhile
    assert 0 < told < 10_000
    await until(lambda: len(heard) == told)


def test_nobody_listens(tmp_path):
    assert not tell(str(tmp_path / "nobody.sock"), b"x")
    assert not tell("", b"x")
