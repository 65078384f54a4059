"""A call's state in bytes, for the session that goes on with it, here or elsewhere."""

from __future__ import annotations

import io
import pickle  # nosec B403 - reads classes of `reception` only
import time
from dataclasses import dataclass, replace
from typing import Any

from actors.log import log
from reception.call import messages as m
from reception.call.conversation import recorded, under_way
from reception.call.record import CallRecord, CallSpec
from reception.errors import LinkError
from reception.media.leg_totals import LegTotals

FORMAT = 7
"""Of what is in a checkpoint; a test knows when it has to be another."""

_OURS = (__name__, "actors.bills")

_PLAIN = {("builtins", name) for name in ("set", "frozenset", "dict", "list", "tuple", "bytes")} | {
    ("collections", "deque")
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """conversation: `Conversation.checkpoint`.
    moves: from one audio worker to another. began_s: the call, on `clock_s`'s clock.
    clock_s, unix_s: the monotonic and the UNIX time when this was so.
    legs: what its leg came to (`LegTotals.parts`).
    audio_format: what its provider is given.
    """

    conversation: dict[str, Any]
    cost_micros: int
    moves: int
    listening: bool
    began_s: float
    clock_s: float
    unix_s: float
    legs: tuple[dict[str, int], dict[str, int]]
    audio_format: str

    @property
    def later_s(self) -> float:
        """By how much this process's monotonic clock is ahead of the one that this was
        written by. On one machine they are the same, and a step of its UNIX time by less
        than a second makes no difference."""
        later_s = (time.monotonic() - self.clock_s) - (time.time() - self.unix_s)
        return later_s if abs(later_s) >= 1.0 else 0.0


def dumps(checkpoint: Checkpoint) -> bytes:
    return bytes([FORMAT]) + pickle.dumps(checkpoint, pickle.HIGHEST_PROTOCOL)


def loads(data: bytes) -> Checkpoint:
    """Raises LinkError when it is no checkpoint, or one of another version's format."""
    if data[:1] != bytes([FORMAT]):
        raise LinkError(f"not a checkpoint of format {FORMAT}, but of {data[:1].hex() or 'none'}")
    found = Reader.loads(data[1:])
    if not isinstance(found, Checkpoint):
        raise LinkError(f"not a checkpoint but {type(found).__name__}")
    return found


def left_by(spec: CallSpec, data: bytes) -> tuple[CallRecord | None, list[m.Work]]:
    """The record of a call that nobody goes on with, as its last state knows it, and what
    was under way: nothing where there is no state yet, or it is another version's."""
    if not data:
        return None, []
    try:
        state = loads(data)
    except LinkError as error:
        log.warning("state of a lost call", call_id=spec.call_id, error=error.message)
        return None, []
    stats = LegTotals(*state.legs).all
    record = recorded(spec, state.conversation)
    record = replace(record, cost_micros=state.cost_micros, stats=stats)
    return record, under_way(state.conversation)


class Reader(pickle.Unpickler):
    """For what another process wrote, and has lain on a disk or in the database: it
    makes values of our own classes, and nothing else."""

    @classmethod
    def loads(cls, data: bytes) -> Any:
        """Raises LinkError when there is anything else in it."""
        try:
            return cls(io.BytesIO(data)).load()
        except Exception as error:
            raise LinkError(f"not a checkpoint: {error}") from error

    def find_class(self, module: str, name: str) -> Any:
        own = module in _OURS or module.startswith("reception.")
        if (own and "." not in name) or (module, name) in _PLAIN:
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} has no place here")
