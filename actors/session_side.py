"""The session's side of a call at its audio worker: the link of the session that runs it,
and what the next one has to know should that die."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from actors.gossip import tell
from actors.link import Link
from protos.link.v1 import link_pb2 as lk
from reception.call.journal import TAKEOVER_S, Journal, session_lost
from reception.framing import Kind

log = structlog.get_logger()


class SessionSide:
    """One link at a time, from `open` on; events are kept until a state includes them.

    Args:
        attach: of the call's first session.
        agent_socket: where the node agent hears that the session is gone.
        on_message: what a session wants done.
        on_state: its state, once what goes with it is done.
        on_over: the call is over for the session too, in order.
        on_lost: why no session goes on with the call.
    """

    def __init__(
        self,
        session: Link,
        attach: lk.SessionAttach,
        agent_socket: str,
        on_message: Callable[[lk.SessionToWorker], None],
        on_state: Callable[[bytes], None],
        on_over: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._session, self._name = session, attach.session
        self._call_id, self._lease_id = attach.call_id, attach.lease_id
        self._agent_socket = agent_socket
        self._on_message, self._on_state = on_message, on_state
        self._on_over, self._on_lost = on_over, on_lost
        self._journal: Journal[lk.WorkerToSession] = Journal(attach.checkpoint)
        self._orphaned: asyncio.TimerHandle | None = None
        self._over = self._stopped = False

    @property
    def checkpoint(self) -> bytes:
        """The state that it told last."""
        return self._journal.checkpoint

    @property
    def knows_all(self) -> bool:
        """Whether that state includes all that was told."""
        return not self._journal.since()

    def attached(self) -> None:
        """Tells the session that the call is up."""
        self._session.send(lk.WorkerToSession(attached=lk.Attached()))

    def open(self) -> None:
        """Listens to the session."""
        session = self._session
        session.handle(self._on_frame, lambda: self._on_end(session))

    def adopt(self, session: Link, name: str) -> None:
        """Another session goes on where the one before it was; that is cut off."""
        if self._orphaned is not None:
            self._orphaned.cancel()
        before, self._session, self._name = self._session, session, name
        before.abort()
        journal = self._journal
        resume = lk.Resume(checkpoint=journal.checkpoint, events=journal.events)
        session.send(lk.WorkerToSession(resume=resume))
        for event in journal.since():
            session.send(event)
        self.open()

    def tell(self, **event: Any) -> None:
        """An event for the session, or for the one after it."""
        message = lk.WorkerToSession(**event)
        if not self._journal.add(message):
            self._on_lost("the call's session does not answer")
        self._session.send(message)

    def mention(self, **news: Any) -> None:
        """What is no event: it can be missed, and soon there is a later one."""
        self._session.send(lk.WorkerToSession(**news))

    def _on_frame(self, kind: Kind, body: bytes) -> None:
        if kind is not Kind.CONTROL:
            return
        message = lk.SessionToWorker.FromString(body)
        if not message.HasField("step"):
            self._take(message)
            return
        self._journal.keep(message.step.checkpoint, message.step.events)
        for each in message.step.messages:
            self._take(each)
        self._on_state(message.step.checkpoint)

    def _take(self, message: lk.SessionToWorker) -> None:
        if message.HasField("over"):
            self._over = True
        else:
            self._on_message(message)

    def _on_end(self, session: Link) -> None:
        """The session closed its link: in order when all is over, else it died."""
        if session is not self._session or self._stopped:
            return
        if self._over:
            self._on_over()
            return
        log.warning("call without its session", call_id=self._call_id)
        tell(self._agent_socket, session_lost(self._lease_id, self._name))
        self._orphaned = asyncio.get_running_loop().call_later(
            TAKEOVER_S, self._on_lost, "the call's session ended unexpectedly"
        )

    def stop(self) -> None:
        """Whatever the session does now changes nothing."""
        self._stopped = True
        if self._orphaned is not None:
            self._orphaned.cancel()

    async def close(self) -> None:
        await self._session.close()
