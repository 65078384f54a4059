"""What a node keeps of its calls: where they are, their states, and their records."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import structlog

from actors.storage import calls, live
from actors.storage.calls import CallStore
from actors.storage.engine import Store
from actors.storage.live import Claim, Kept
from actors.storage.writer import Writer
from reception.call.record import CallRecord, CallSpec, TakenMessage
from reception.errors import CallIdInUse, NotFound, ReceptionError, Unavailable

log = structlog.get_logger()

KEEP_S = 1.0

T = TypeVar("T")


class CallKeeper:
    """Writes in the order of the calls to it; what is only asked for is read beside.

    Args:
        node_id: whose calls they are.
        fenced: is told the session ids of calls that another node has taken.
    """

    def __init__(self, database_url: str, node_id: str, fenced: Callable[[str], None]) -> None:
        self._node_id = node_id
        self._store = Store.open(database_url)
        self._writer = Writer(self._store, f"agent:{node_id}")
        self._fenced = fenced
        self._generations: dict[str, int] = {}
        self._unwritten: set[str] = set()  # sessions whose beginning is not
        self._unsaved: dict[str, str] = {}  # call ids of sessions whose record waits elsewhere
        self._states: dict[str, bytes] = {}  # by their sessions
        self._unkept: dict[str, bytes] = {}  # of them

    # ------------------------------------------------------------- live calls

    async def begin(self, spec: CallSpec, token: str) -> None:
        """A call begins here; tries until that is written, or the call is over.

        Raises:
            CallIdInUse: another live call has its call id: of this one nothing is written.
        """
        session_id, now_s = spec.session_id, time.time()
        self._generations[session_id] = 1
        self._unwritten.add(session_id)
        while session_id in self._generations:
            over = [ended for ended, call_id in self._unsaved.items() if call_id == spec.call_id]
            work = partial(live.begin, spec=spec, token=token, now_s=now_s, over=over)
            with _told():
                if await self._writer.run(work) is None:
                    self._lost(session_id)
                self._unwritten.discard(session_id)
                return
            await asyncio.sleep(KEEP_S)

    async def take(self, spec: CallSpec, token: str) -> Claim:
        """Takes a call over from a node that is lost.

        Args:
            spec: as it is here.
            token: with which its caller comes back from now on.

        Raises:
            NotFound: somebody else took it, or it is over.
        """

        def work(connection: Any) -> Claim | None:
            found = live.find(connection, spec.session_id)
            if found is not None:
                return live.take(connection, found, spec, token, time.time())
            if calls.has_ended(connection, spec.session_id):
                return None
            try:
                return live.begin(connection, spec, token, time.time())
            except CallIdInUse:  # since its beginning was not written down in time
                return None

        return self._taken(await self._writer.run(work))

    async def seize(self, session_id: str, node_id: str) -> Claim:
        """Takes a call from a node, to go on nowhere: its caller can't come back.

        Raises:
            NotFound: somebody else took it, or it is over.
        """

        def work(connection: Any) -> Claim | None:
            found = live.find(connection, session_id)
            if found is None or found.spec.node_id != node_id:
                return None
            spec = replace(found.spec, node_id=self._node_id)
            return live.take(connection, found, spec, secrets.token_urlsafe(), time.time())

        return self._taken(await self._writer.run(work))

    def _taken(self, claim: Claim | None) -> Claim:
        if claim is None:
            raise NotFound("the call is over, or another node has it", field="session_id")
        self._generations[claim.spec.session_id] = claim.generation
        return claim

    async def places(self) -> list[tuple[str, str]]:
        """The sessions of all live calls of the cluster, with their nodes."""
        return await self.look(live.places)

    async def by_token(self, token: str, key_id: str) -> Claim:
        """The live call, of any node, whose caller may come back with the token.

        Raises:
            NotFound: there is none.
        """
        found = await self.look(partial(live.by_token, token=token, key_id=key_id))
        if found is None:
            raise NotFound(
                "resume_token is not that of a live call of this key", field="start.resume_token"
            )
        return found

    async def new_token(self, session_id: str, token: str) -> None:
        """The caller comes back with another token from now on."""
        generation = self._generations.get(session_id, 0)
        work = partial(live.new_token, session_id=session_id, generation=generation, token=token)
        with _told():
            await self._writer.run(work)

    def keep(self, session_id: str, state: bytes) -> None:
        """A call's state, to be written within the second."""
        if session_id in self._generations:
            self._unkept[session_id] = self._states[session_id] = state

    def state(self, session_id: str) -> bytes:
        """Of a call that is here, as it was kept last; empty before the first."""
        return self._states.get(session_id, b"")

    async def keep_writing(self) -> None:
        """Writes what is to be kept, for ever."""
        while True:
            await asyncio.sleep(KEEP_S)
            unkept, self._unkept = self._unkept, {}
            for session_id in self._unwritten & set(unkept):
                self._unkept[session_id] = unkept.pop(session_id)
            states = [
                Kept(session_id, self._generations[session_id], state)
                for session_id, state in unkept.items()
                if session_id in self._generations
            ]
            if not states:
                continue
            with _told():
                work = partial(live.keep, states=states, now_s=time.time())
                for session_id in await self._writer.run(work):
                    if session_id in self._generations:  # else it has ended meanwhile
                        self._lost(session_id)
                continue
            self._unkept = unkept | self._unkept  # once more

    async def owns(self, session_id: str) -> bool:
        """Whether a call that began here is still this node's. True while the database
        can't be asked."""
        generation = self._generations.get(session_id, 0)
        try:
            found = await self.look(partial(live.find, session_id=session_id))
        except ReceptionError:
            return True
        return found is None or found.generation == generation

    def _lost(self, session_id: str) -> None:
        log.warning("call taken by another node", session_id=session_id)
        self._fenced(session_id)

    # ------------------------------------------------------------- records

    def forget(self, session_id: str) -> None:
        """The call is no longer this node's."""
        self._generations.pop(session_id, None)
        self._unwritten.discard(session_id)
        self._unkept.pop(session_id, None)
        self._states.pop(session_id, None)

    def generation(self, session_id: str) -> int:
        """That a call's record is to carry; 0 when the call is not known."""
        return self._generations.get(session_id, 0)

    async def save_call(self, record: CallRecord, generation: int) -> bool:
        """A call is over. False: another node has it, and nothing was kept.

        Raises:
            Unavailable: the database can't do it now.
        """
        session_id = record.spec.session_id
        self.forget(session_id)
        work = partial(calls.save_call, record=record, generation=generation)
        try:
            kept = await self._writer.run(work)
        except Unavailable:
            self._unsaved[session_id] = record.spec.call_id
            raise
        self._unsaved.pop(session_id, None)
        if not kept:
            log.warning("record of a lost call not kept", session_id=session_id)
        return kept

    async def save_message(self, message: TakenMessage) -> None:
        """Keeps a message that a caller left, durably. Idempotent."""
        await self._writer.run(partial(calls.save_message, message=message))

    async def read(self, work: Callable[[CallStore], T]) -> T:
        """Looks at records."""
        return await asyncio.to_thread(work, CallStore(self._store))

    # ------------------------------------------------------------- the database

    async def look(self, work: Callable[[Any], T]) -> T:
        """Runs `work` on one consistent view."""

        def read() -> T:
            with self._store.reading() as connection:
                return work(connection)

        return await asyncio.to_thread(read)

    def close(self) -> None:
        """Finishes writing and closes the database; blocks."""
        self._writer.close()
        self._store.close()


@contextmanager
def _told() -> Iterator[None]:
    """What can't be written now is logged, and the call goes on."""
    try:
        yield
    except CallIdInUse:
        raise
    except ReceptionError as error:
        log.warning("not written", error=error.message)
