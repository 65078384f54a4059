"""One call's audio worker, as its session sees it: the link to it, and to the next one."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from ray.exceptions import RayError

from actors.assignment import Assignment
from actors.link import SESSION_SUFFIX, FrameHandler, Link
from actors.spawn import Remote, in_time
from protos.link.v1 import link_pb2 as lk
from reception.errors import ReceptionError, Unavailable
from reception.media.leg import LegConfig, Speaks
from reception.media.silence import sent_around
from reception.money.savings.levels import LEVELS
from reception.provider import codec_for
from reception.provider.base import Configure, DialPlan, ProviderCommand

LINK_TIMEOUT_S = 5.0
MOVE_TIMEOUT_S = 20.0  # where every worker of the node died, a new one takes seconds
MOVE_PAUSE_S = 0.1
LEAD_MS = 200  # playout's lead at the most


class CallWorker:
    """The link, while there is one, and what is told of the call on it.

    Attributes:
        moves: from one audio worker to another.
        listening: whether the leg hears the caller.
        began_s: the call, by the monotonic clock.
        audio_format: what the provider is given, by the next session of it at the latest.
    """

    def __init__(self, assignment: Assignment, agent: Remote) -> None:
        self.moves, self.listening = 0, True
        self.began_s = time.monotonic()
        self._assignment, self._spec, self._agent = assignment, assignment.spec, agent
        self.audio_format = assignment.audio_format
        self._codec = codec_for(assignment.provider.provider)
        self._socket = assignment.worker_socket
        self._link: Link | None = None

    # ------------------------------------------------------------- the link

    @property
    def linked(self) -> bool:
        return self._link is not None

    async def connect(self) -> Link:
        """Whose frames nobody takes yet (`handle`)."""
        self._link = await Link.connect(self._socket + SESSION_SUFFIX, LINK_TIMEOUT_S)
        return self._link

    def handle(self, link: Link, on_frame: FrameHandler, on_end: Callable[[], None]) -> None:
        """Has this link's frames taken from now on.

        Args:
            on_frame: takes what the worker sends.
            on_end: hears that the worker is gone, or was let go.
        """

        def ended() -> None:
            self._link = None
            on_end()

        link.handle(on_frame, ended)

    def send(self, **field: Any) -> None:
        if self._link is not None:
            self._link.send(lk.SessionToWorker(**field))

    def abort(self) -> None:
        if self._link is not None:
            self._link.abort()

    def give_up(self) -> None:
        """Lets go of a link whose frames nobody took."""
        self.abort()
        self._link = None

    def forget(self) -> None:
        """No worker has the call: it moves as after a loss."""
        self._socket = ""

    async def close(self) -> None:
        if self._link is not None:
            await self._link.close()

    async def move(self) -> Link:
        """To another audio worker, once there is one; as `connect`. Raises Unavailable."""
        until_s = time.monotonic() + MOVE_TIMEOUT_S
        while True:
            try:
                async with in_time():
                    self._socket = await self._agent.another_worker(
                        self._spec.lease_id, self._socket
                    )
                link = await self.connect()
                break
            except (RayError, ReceptionError, TimeoutError) as error:
                if time.monotonic() > until_s:
                    raise Unavailable("no audio worker takes the call") from error
                await asyncio.sleep(MOVE_PAUSE_S)
        self.moves += 1
        return link

    # ------------------------------------------------------------- what it is told

    def attach(
        self, opening: tuple[ProviderCommand, ...], model: str, checkpoint: bytes
    ) -> lk.SessionAttach:
        """The call, its leg and its provider.

        Args:
            checkpoint: the call's state, for a worker that it moved to.
        """
        spec, profile = self._spec, self._assignment.profile
        decisions, turns = LEVELS[self._assignment.level], profile.turn_detection
        leg = LegConfig(
            spec.codec,
            spec.rate_hz,
            spec.ptime_ms,
            spec.sends_marks,
            frames_before=self._frames_before(),
            generation=self.moves,
            listening=self.listening,
            hearing=profile.hearing,
            recording=profile.recording,
            silence_ms=sent_around(turns, decisions),
            turn_ms=turns.silence_duration_ms if turns.local else 0,
            speaks=self._speaks() if decisions.text_answers else None,
        )
        return lk.SessionAttach(
            call_id=spec.call_id,
            lease_id=spec.lease_id,
            dial_plan=self.dial_plan(opening, model),
            leg_config=json.dumps(asdict(leg)).encode(),
            checkpoint=checkpoint,
            session=self._assignment.session,
            session_id=spec.session_id,
        )

    def dial_plan(self, opening: tuple[ProviderCommand, ...], model: str) -> bytes:
        provider = self._assignment.provider
        plan = DialPlan(
            provider.provider,
            provider.base_url,
            model,
            self.audio_format,
            opening=tuple(map(self.encode, opening)),
        )
        return json.dumps(asdict(plan)).encode()

    def encode(self, command: ProviderCommand) -> str:
        """In the provider's words."""
        if isinstance(command, Configure):
            command = replace(command, audio_format=self.audio_format)
        return self._codec.encode(command)

    def _speaks(self) -> Speaks:
        profile, provider = self._assignment.profile, self._assignment.provider
        voice = profile.voice or provider.voice
        return Speaks(self._assignment.synthesizer, voice, profile.language)

    def _frames_before(self) -> int:
        """How many numbers the leg's frames may have had so far: playout keeps to
        real time, so never more than there was time for."""
        if self.moves == 0:
            return 0
        passed_ms = (time.monotonic() - self.began_s) * 1000 + LEAD_MS
        return math.ceil(passed_ms / self._spec.ptime_ms)
