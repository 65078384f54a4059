"""One call's money, on its session: its bills, and what it has cost so far."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace

from ray.exceptions import RayError

from actors.assignment import Assignment
from actors.bills import Delivery, bill, closing
from actors.log import log
from actors.spawn import Remote, in_time
from actors.tasks import Tasks
from reception.call import messages as m
from reception.errors import ReceptionError
from reception.money.allowance import Means
from reception.money.leases import Claim
from reception.money.own_count import Difference
from reception.money.policy import Step
from reception.money.savings.comparison import Answered

SAVED_TIMEOUT_S = 1.0
AGAIN_S = (0.5, 3.0)  # apart, so that calls do not all ask at once
BILL_TRIES = 3  # a singleton that restarts is back within 3 s
_DOUBTFUL = ("caller_vanished", "internal")  # so may end a call that went elsewhere


class CallMoney:
    """What can't be billed now the node keeps, and sends later: by its ids it counts once.

    Args:
        put: takes what the conversation is to hear.

    Attributes:
        cost_micros: of the call so far.
    """

    def __init__(
        self,
        assignment: Assignment,
        cost: Remote,
        agent: Remote,
        put: Callable[[m.MoneyRunsOut], None],
    ) -> None:
        self.cost_micros = 0
        self._assignment, self._spec = assignment, assignment.spec
        self._cost, self._agent, self._put = cost, agent, put
        self._owing: asyncio.TimerHandle | None = None
        self._asking = Tasks()
        self._differing: set[str] = set()
        self._claiming: asyncio.Task[None] | None = None
        self._rng = random.Random()  # noqa: S311  # nosec B311 - jitter, no secret

    def begin(self, began_s: float) -> None:
        """The call goes on; the ledger may not know of it yet.

        Args:
            began_s: when it began, by the monotonic clock.
        """
        if self._spec.claim is not None:
            self._claiming = asyncio.ensure_future(self._claim(self._spec.claim, began_s))

    async def _claim(self, claim: Claim, began_s: float) -> None:
        """Tells the ledger of the call until it answers; not for ever: what is held
        lasts for a time."""
        if claim.alone_s is not None:
            left_s = began_s + claim.alone_s - time.monotonic()
            self._owing = asyncio.get_running_loop().call_later(left_s, self._stop_owing)
        while True:
            try:
                async with in_time():
                    hold = await self._cost.claim(claim)
                break
            except (RayError, TimeoutError):
                await asyncio.sleep(self._rng.uniform(*AGAIN_S))
        self._nothing_owed()
        if not hold.admitted:
            self._stop_owing()

    async def charge(self, command: m.ReportUsage | m.ReportTranscription) -> None:
        """Bills, and tells the conversation when there is less money than it knows."""
        transcriber = self._assignment.profile.transcription_model
        delivery = bill(command, self._spec, transcriber, time.time())
        if command.estimated:
            log.warning("billed by our own count", call_id=self._spec.call_id, of=delivery.args[1])
        began_s = asyncio.get_running_loop().time()
        for attempt in range(BILL_TRIES):
            if await self._billed(delivery):
                self._nothing_owed()
                return
            await asyncio.sleep(0.5 * (attempt + 1))
        if self._assignment.unbilled_s < math.inf:
            if self._owing is None:
                until_s = began_s + self._assignment.unbilled_s
                self._owing = asyncio.get_running_loop().call_at(until_s, self._stop_owing)
            self._asking.begin(self._ask_again(delivery))
        await self._send_later(delivery)

    async def _billed(self, delivery: Delivery) -> bool:
        """Whether it could be billed; the conversation is told what that leaves."""
        try:
            async with in_time():
                charge = await getattr(self._cost, delivery.method)(*delivery.args)
        except (RayError, TimeoutError):
            return False
        self.cost_micros = charge.call_total_micros
        billed = delivery.args[1]
        self._put(m.MoneyRunsOut(charge.due, self.binding(charge.means), billed))
        return True

    def binding(self, means: Means | None) -> Means | None:
        """What the call may spend; it goes on all the same where it may while nothing can
        be billed."""
        return means and replace(means, binding=self._assignment.unbilled_s < math.inf)

    async def _ask_again(self, delivery: Delivery) -> None:
        """Until it is billed, so that no call ends for a ledger that is back, and the call
        knows what it may spend. The node delivers it besides, and it counts once."""
        while True:
            await asyncio.sleep(self._rng.uniform(*AGAIN_S))
            if await self._billed(delivery):
                break
        self._nothing_owed()

    async def differs(self, difference: Difference) -> None:
        """The provider counts otherwise than we do: whoever looks after the money is to know,
        once for the call."""
        if difference.what in self._differing:
            return
        self._differing.add(difference.what)
        counts = difference.what, difference.ours, difference.theirs
        try:
            async with in_time():
                await self._cost.count_differs(self._spec.session_id, *counts)
        except (RayError, ReceptionError, TimeoutError) as error:
            log.warning("no alert", call_id=self._spec.call_id, error=repr(error))

    async def allows(self, model: str) -> bool:
        """Has the call's money held at the rate of this model; whether that could be done."""
        try:
            async with in_time():
                return bool(await self._cost.change_model(self._spec.session_id, model))
        except (RayError, ReceptionError, TimeoutError) as error:
            log.warning("no full model", call_id=self._spec.call_id, error=repr(error))
            return False

    def stop(self) -> None:
        """The call is over: nobody is to end it."""
        self._nothing_owed()
        self._asking.cancel()
        if self._claiming is not None:
            self._claiming.cancel()

    def _nothing_owed(self) -> None:
        if self._owing is not None:
            self._owing.cancel()
            self._owing = None

    def _stop_owing(self) -> None:
        """Nothing could be billed for too long: nothing more is held for the call."""
        log.warning("nothing can be billed", call_id=self._spec.call_id)
        self._put(m.MoneyRunsOut((Step.WRAP_UP,)))

    async def _send_later(self, delivery: Delivery) -> None:
        try:
            async with in_time():
                await self._agent.send_later(delivery)
        except (RayError, ReceptionError, TimeoutError):
            log.exception("not billed", call_id=self._spec.call_id, method=delivery.method)

    async def close(self, reason: str) -> None:
        """Closes the call's account; not when another node goes on with the call.

        Args:
            reason: for which the call ended here.
        """
        if reason in _DOUBTFUL and not await self._is_ours():
            return
        delivery = closing(self._spec)
        try:
            async with in_time():
                total = await self._cost.close_call(*delivery.args)
            self.cost_micros = total.total_micros
        except (RayError, TimeoutError):
            await self._send_later(delivery)

    async def _is_ours(self) -> bool:
        try:
            async with in_time():
                return bool(await self._agent.owns(self._spec.session_id))
        except (RayError, ReceptionError, TimeoutError):
            return True

    async def saved(self, answered: tuple[Answered, ...], head_tokens: int) -> dict[str, int]:
        """Micro-dollars that were saved, and by what; nothing if nobody can say.

        Args:
            answered, head_tokens: as of `Conversation.answered`.
        """
        try:
            async with asyncio.timeout(SAVED_TIMEOUT_S):
                found = await self._cost.would_have_cost(answered, head_tokens)
        except (RayError, ReceptionError, TimeoutError):
            return {}
        by = {f"saved_{each.name.lower()}_micros": micros for each, micros in found.saved.items()}
        return {"saved_micros": sum(by.values())} | {name: by[name] for name in by if by[name]}
