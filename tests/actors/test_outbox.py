"""What could not be written yet: in order, on a real disk, over the death of its process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import outbox as outbox_module
from actors.bills import Delivery
from actors.outbox import Outbox
from reception.errors import LimitReached
from reception.provider.base import Usage
from tests.waiting import patience

ONE, TWO, THREE = (Delivery("cost", "usage", (f"s{n}", Usage(input_text=n))) for n in (1, 2, 3))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "AGAIN_S", 0.01)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path)
    yield made
    made.close()


class House:
    """Takes what is delivered, when it is open."""

    def __init__(self) -> None:
        self.open, self.tried = True, 0
        self.got: list[Delivery] = []

    async def deliver(self, delivery: Delivery) -> bool:
        self.tried += 1
        if self.open:
            self.got.append(delivery)
        return self.open

    async def until(self, count: int) -> None:
        async with patience():
            while len(self.got) < count:
                await asyncio.sleep(0.005)


async def test_it_is_delivered_in_order_once_it_can_be(outbox: Outbox, tmp_path: Path) -> None:
    house = House()
    house.open = False
    delivering = asyncio.create_task(outbox.deliver(house.deliver))
    await outbox.add(ONE)
    await outbox.add(TWO)
    async with patience():
        while house.tried < 3:
            await asyncio.sleep(0.005)
    assert (house.got, len(outbox)) == ([], 2)
    house.open = True
    await house.until(2)
    await outbox.add(THREE)
    await house.until(3)
    assert house.got == [ONE, TWO, THREE]
    async with patience():
        while [each.stat().st_size for each in tmp_path.iterdir()] != [0]:
            await asyncio.sleep(0.005)
    delivering.cancel()


async def test_what_a_dead_process_left_is_delivered_by_the_next(tmp_path: Path) -> None:
    """SIGKILL in the middle of a write; a living process keeps its own."""
    code = """
import asyncio, os, signal, sys
from pathlib import Path
from actors.bills import Delivery
from actors.outbox import Outbox
from reception.provider.base import Usage
async def main():
    outbox = Outbox(Path(sys.argv[1]))
    for n in (1, 2):
        await outbox.add(Delivery("cost", "usage", (f"s{n}", Usage(input_text=n))))
    outbox._file.write(b"\\0\\0\\1\\0half of one")
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    living = Outbox(tmp_path)
    await living.add(THREE)
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, str(tmp_path)])
    assert done.returncode == -9
    house = House()
    following = Outbox(tmp_path)
    assert len(following) == 2
    delivering = asyncio.create_task(following.deliver(house.deliver))
    await house.until(2)
    assert house.got == [ONE, TWO]
    delivering.cancel()
    following.close()
    living.close()
    last = Outbox(tmp_path)
    assert len(last) == 1
    last.close()


async def test_it_holds_so_much_and_no_more(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_WAITING", 2)
    await outbox.add(ONE)
    await outbox.add(TWO)
    with pytest.raises(LimitReached, match="2 deliveries wait"):
        await outbox.add(THREE)
    monkeypatch.setattr(outbox_module, "MAX_WAITING", 3)
    monkeypatch.setattr(outbox_module, "MAX_BYTES", 10)
    with pytest.raises(LimitReached, match="bytes"):
        await outbox.add(THREE)
