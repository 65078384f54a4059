"""A call's state in bytes: whole again elsewhere, and nothing else can come out of them."""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import replace
from typing import Any

import pytest

from actors.checkpoint import Checkpoint, dumps, loads
from reception import errors
from reception.call import messages as m
from reception.call.conversation import Conversation
from reception.provider.base import Usage
from tests.unit.call.example import PROFILE, SPEC


def conversation() -> Conversation:
    import random

    made = Conversation(SPEC, PROFILE, "m", "pcmu", rng=random.Random(1))
    made.start(100.0)
    made.handle(m.ProviderUp(), 101.0)
    return made


def checkpoint(**fields: Any) -> Checkpoint:
    usage = m.ReportUsage("r1", Usage(input_text=3), "m")
    made = Checkpoint(
        conversation().checkpoint(), {"usage r1": (usage, 5.0)}, 7, 1, True, 100.0,
        clock_s=time.monotonic(), unix_s=time.time(),
    )  # fmt: skip
    return replace(made, **fields)


def test_it_is_whole_again() -> None:
    made = checkpoint()
    again = loads(dumps(made))
    assert (again.pending, again.cost_micros, again.moves) == (made.pending, 7, 1)
    other = conversation()
    other.resume(again.conversation, again.later_s)
    assert other.record() == conversation().record()
    assert other.next_deadline_s() == conversation().next_deadline_s()


def test_elsewhere_its_times_are_of_the_other_clock() -> None:
    """A machine that has been up for an hour more."""
    there = checkpoint(clock_s=time.monotonic() - 3_600.0)
    assert there.later_s == pytest.approx(3_600.0, abs=0.5)
    other = conversation()
    deadline_s = other.next_deadline_s()
    assert deadline_s is not None
    other.resume(there.conversation, 3_600.0)
    assert other.next_deadline_s() == pytest.approx(deadline_s + 3_600.0)
    assert checkpoint(unix_s=time.time() - 0.4, clock_s=time.monotonic()).later_s == 0.0


class Evil:
    def __reduce__(self) -> Any:
        return (os.getcwd, ())


class EvilOfOurs:
    """Names a function that is in one of our own modules."""

    def __reduce__(self) -> Any:
        return (errors._rebuild, (OSError, "", "", 0.0))


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", pickle.dumps({"a": 1}), pickle.dumps(Evil()), pickle.dumps(EvilOfOurs()),
     dumps(checkpoint(cost_micros=Evil())), dumps(checkpoint())[:-5]],
)  # fmt: skip
def test_nothing_else_comes_out(data: bytes) -> None:
    with pytest.raises(errors.LinkError, match="not a checkpoint"):
        loads(data)
