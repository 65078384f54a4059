"""A call's state in bytes: whole again elsewhere, and nothing else can come out of them."""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from collections import deque
from dataclasses import replace
from typing import Any

import pytest

from actors.checkpoint import FORMAT, Checkpoint, dumps, left_by, loads
from reception import errors
from reception.call import messages as m
from reception.call.conversation import Conversation
from reception.provider.base import ResponseDone, Usage
from tests.unit.call.example import PROFILE, SPEC, buys

OURS = bytes([FORMAT])
BILL = m.ReportUsage("r1", Usage(input_text=3), "m")


def conversation() -> Conversation:
    import random

    made = Conversation(SPEC, PROFILE, "m", "pcmu", rng=random.Random(1), means=buys(512))
    made.start(100.0)
    made.handle(m.ProviderUp(), 101.0)
    done = ResponseDone("r1", "completed", usage=Usage(input_text=3))
    assert made.handle(m.FromProvider(done), 101.0) == [BILL]
    return made


def checkpoint(**fields: Any) -> Checkpoint:
    made = Checkpoint(
        conversation().checkpoint(), 7, 1, True, 100.0,
        clock_s=time.monotonic(), unix_s=time.time(), legs=({"frames_in": 3}, {"frames_in": 4}),
        audio_format="pcma",
    )  # fmt: skip
    return replace(made, **fields)


def test_it_is_whole_again() -> None:
    made = checkpoint()
    again = loads(dumps(made))
    assert (again.cost_micros, again.moves) == (7, 1)
    assert again.audio_format == "pcma"
    assert again.legs == ({"frames_in": 3}, {"frames_in": 4})
    other = conversation()
    assert other.resume(again.conversation, again.later_s) == [BILL]
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


def _shape(value: Any, found: set[str]) -> set[str]:
    """The names of all classes and fields in it."""
    if isinstance(value, dict):
        for each in value.values():
            _shape(each, found)
    elif isinstance(value, list | tuple | set | deque):
        for each in value:
            _shape(each, found)
    elif type(value).__module__.startswith(("reception.", "actors.")):
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        names = getattr(type(value), "__slots__", None) or vars(value)
        found.update([name], (f"{name}.{field}" for field in names))
        for field in names:
            _shape(getattr(value, field, None), found)
    return found


def test_another_form_is_another_format() -> None:
    """A node of another version would make nothing, or nonsense, of it: whoever changes
    what is in a checkpoint raises FORMAT, and sets this right."""
    made = checkpoint()
    names = sorted(_shape(made, set()) | set(made.conversation))
    assert (FORMAT, hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]) == (
        7,
        "feacd68e0881",
    )


class Evil:
    def __reduce__(self) -> Any:
        return (os.getcwd, ())


class EvilOfOurs:
    """Names a function that is in one of our own modules."""

    def __reduce__(self) -> Any:
        return (errors._rebuild, (OSError, "", "", 0.0))


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", OURS + pickle.dumps({"a": 1}), OURS + pickle.dumps(Evil()),
     OURS + pickle.dumps(EvilOfOurs()), dumps(checkpoint(cost_micros=Evil())),
     dumps(checkpoint())[:-5], bytes([FORMAT + 1]) + dumps(checkpoint())[1:]],
)  # fmt: skip
def test_nothing_else_comes_out(data: bytes) -> None:
    with pytest.raises(errors.LinkError, match="not a checkpoint"):
        loads(data)


def test_what_a_call_leaves_is_its_record_and_what_was_under_way() -> None:
    record, work = left_by(SPEC, dumps(checkpoint()))
    assert work == [BILL]
    assert record == replace(conversation().record(), cost_micros=7, stats={"frames_in": 7})


@pytest.mark.parametrize("data", [b"", b"nonsense", bytes([FORMAT + 1]) + dumps(checkpoint())[1:]])
def test_without_a_state_that_can_be_read_nothing_is_left(data: bytes) -> None:
    assert left_by(SPEC, data) == (None, [])
