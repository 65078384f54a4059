"""What a call consists of on its session, and its state: kept, and taken up by the next one."""

from __future__ import annotations

import random
import time
from dataclasses import replace

from actors import checkpoint
from actors.assignment import Assignment
from actors.call_inbox import CallInbox
from actors.call_money import CallMoney
from actors.call_worker import CallWorker
from actors.checkpoint import Checkpoint
from actors.spawn import Remote
from actors.tasks import Tasks
from protos.link.v1 import link_pb2 as lk
from reception.call import messages as m
from reception.call.conversation import Conversation
from reception.call.record import CallRecord
from reception.media.leg_totals import LegTotals
from reception.money.savings.levels import LEVELS
from reception.provider import codec_for
from reception.provider.base import ProviderCommand


class CallParts:
    """One call's.

    Attributes:
        tasks: what goes on beside the conversation; waited for before the end, cancelled
            after it.
    """

    def __init__(self, assignment: Assignment, cost: Remote, agent: Remote) -> None:
        self.assignment, self.spec, self.agent = assignment, assignment.spec, agent
        self.tasks = Tasks()
        self.worker = CallWorker(assignment, agent)
        codec = codec_for(assignment.provider.provider)
        self.inbox = CallInbox(self.worker, codec, lambda: self.conversation.finish is not None)
        self.money = CallMoney(assignment, cost, agent, self.inbox.put)
        self.conversation = Conversation(
            self.spec,
            assignment.profile,
            assignment.model,
            assignment.audio_format,
            voice=assignment.provider.voice,
            rng=random.Random(self.spec.session_id),  # noqa: S311  # nosec B311 - jitter, no secret
            decisions=LEVELS[assignment.level],
            recorded={text: each.duration_ms for text, each in assignment.phrases.items()},
            asked_model=assignment.asked_model,
            means=self.money.binding(self.spec.means),
        )

    def attach(self, opening: tuple[ProviderCommand, ...], model: str) -> lk.SessionAttach:
        """What a worker is told that is to have the call, with its provider."""
        state = self.checkpoint() if self.worker.moves else b""
        return self.worker.attach(opening, model, state)

    def first_attach(self) -> lk.SessionAttach:
        return self.attach(self.conversation.opening(), self.assignment.model)

    def record(self, end_reason: str = "") -> CallRecord:
        """The call as it is now.

        Args:
            end_reason: why it is over, if it is.
        """
        record = self.conversation.record()
        record = replace(record, cost_micros=self.money.cost_micros)
        if end_reason:
            record = replace(record, state="ended", end_reason=end_reason, ended_at_s=time.time())
        return record

    def checkpoint(self) -> bytes:
        """The state from which another session can go on."""
        return checkpoint.dumps(
            Checkpoint(
                self.conversation.checkpoint(),
                self.money.cost_micros,
                self.worker.moves,
                self.worker.listening,
                self.worker.began_s,
                clock_s=time.monotonic(),
                unix_s=time.time(),
                legs=self.inbox.legs.parts,
                audio_format=self.worker.audio_format,
            )
        )

    def restore(self, raw: bytes) -> list[m.Work]:
        """All as it was at a checkpoint. Returns what was under way elsewhere."""
        state = checkpoint.loads(raw)
        again = self.conversation.resume(state.conversation, state.later_s)
        self.money.cost_micros = state.cost_micros
        self.inbox.legs = LegTotals(*state.legs)
        worker = self.worker
        worker.moves, worker.listening = state.moves, state.listening
        worker.audio_format = state.audio_format
        worker.began_s = state.began_s + state.later_s
        return again
