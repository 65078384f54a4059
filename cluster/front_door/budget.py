"""Budget that a front door has leased, for calls while the cost singleton is away."""

from __future__ import annotations

import asyncio
import secrets
import time

import structlog

from actors.spawn import Remote
from cluster.front_door.nodes import ask
from reception.errors import ReceptionError
from reception.money.leases import Claim
from reception.money.purses import Purses
from reception.money.scopes import Owner

log = structlog.get_logger()

TICK_S = 5.0
TIMEOUT_S = 5.0
CLOSED, LEASE, OPEN = "closed", "lease", "open"


class Budget:
    """What a call may begin with while the cost singleton does not answer.

    Args:
        failure: "closed": no call begins; "lease": those for which the door has budget
            leased; "open": all. Emergencies begin in any case: no limit holds them back.
        cost: the singleton.
    """

    def __init__(self, failure: str, cost: Remote) -> None:
        self._failure, self._cost = failure, cost
        self._purses = Purses(secrets.token_hex(8))
        self._renewing: asyncio.Task[None] | None = None
        self.calls = 0  # that began so

    def start(self) -> None:
        if self._failure == LEASE:
            self._renewing = asyncio.ensure_future(self._renew())

    def close(self) -> None:
        """Leases end by themselves."""
        if self._renewing is not None:
            self._renewing.cancel()

    def came(self, owner: Owner) -> None:
        """The singleton has taken a call."""
        if self._failure == LEASE:
            self._purses.came(owner, time.monotonic())

    def has(self, owner: Owner) -> bool:
        """Whether such a call can begin at once, out of a lease or since it needs none."""
        leased = self._failure == LEASE and self._purses.has(owner, time.monotonic())
        return owner.exempt or leased

    def begin(self, owner: Owner) -> Claim | None:
        """Begins a call that the singleton is to be told of later; None: it may not."""
        if self._failure == CLOSED and not owner.exempt:
            return None
        claim = Claim(owner)
        if self._failure == LEASE and not owner.exempt:
            held = self._purses.hold(owner, time.monotonic())
            if held is None:
                return None
            claim = held
        self.calls += 1
        log.warning("call without the ledger", call_id=owner.call_id, held_micros=claim.micros)
        return claim

    async def _renew(self) -> None:
        """One request after the other."""
        while True:
            await asyncio.sleep(TICK_S)
            request = self._purses.ask(time.monotonic())
            if request is None:
                continue
            try:
                leases = await ask(
                    self._cost, "cost", "lease", request.wanted, request.back, timeout_s=TIMEOUT_S
                )
            except ReceptionError as error:
                log.info("no budget leased", error=error.message)
                self._purses.failed(request)
            except Exception:
                log.exception("no budget leased")
                self._purses.failed(request)
            else:
                self._purses.answered(request, leases)
