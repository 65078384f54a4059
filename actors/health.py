"""The health singleton: which nodes live, and whether the provider answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from actors.settings import Settings
from actors.storage.engine import Store, upsert
from actors.storage.schema import provider_health
from actors.storage.writer import Writer
from reception.errors import InvalidRequest
from reception.health.breaker import Breaker, BreakerRules, State
from reception.health.gate import Gate
from reception.health.liveness import NodeState, node_state, rules_for
from reception.placement.admission.answer import Answer, Refused
from reception.placement.admission.priority import Priority
from reception.placement.admission.provider_limits import NodeUse, ProviderLimits, ProviderRules
from reception.placement.balancing.report import REPORT_S, NodeReport, decode
from reception.placement.balancing.subset import Subsets
from reception.provider.refusal import Outcome

log = structlog.get_logger()

SINGLETON = "health"
FORGET_AFTER_S = 86_400.0
SWEEP_S = 1.0
GONE_AFTER_S = 30.0  # a node that was silent for so long is no other's concern
MAX_REPORT_BYTES = 4_096
MAX_NODES = 10_000
MAX_ERROR_CHARS = 300


@dataclass(frozen=True, slots=True)
class _Told:
    """A node's last report, and when it came."""

    at_s: float
    node: NodeReport
    report: bytes


class HealthMonitor:
    """Each change of the provider's breaker is kept in the database; what nodes tell
    each second is not, nor are counts since the start.

    Args:
        settings: which provider, and the database.
        clock: UNIX time in seconds.
        rules: of the provider's breaker.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        rules: BreakerRules | None = None,
    ) -> None:
        self._clock, self._swept_s = clock, -math.inf
        self._rules = rules or BreakerRules()
        self._liveness = rules_for(REPORT_S)
        self._provider_name = settings.provider
        self._provider_error = ""
        self._store = Store.open(settings.database_url)
        with self._store.reading() as connection:
            self._breaker = self._restore(connection)
        self._gate = Gate(self._breaker)
        self._saved = self._breaker_row()
        self._writer = Writer(self._store, SINGLETON)
        self._nodes: dict[str, _Told] = {}
        self._subsets = Subsets()
        self._limits = ProviderLimits(
            ProviderRules(
                settings.provider_requests_per_minute,
                settings.provider_tokens_per_minute,
                settings.provider_sessions,
            )
        )

    async def exchange(self, report: bytes) -> list[tuple[float, bytes]]:
        """A node is alive and tells how it is.

        Args:
            report: a NodeReport, encoded.

        Returns:
            What each node that this one has to know told last, and how many seconds ago.

        Raises:
            InvalidRequest: it is no report, or that of one node too many.
        """
        if len(report) > MAX_REPORT_BYTES:
            text = f"report has {len(report)} bytes: must have at most {MAX_REPORT_BYTES}"
            raise InvalidRequest(text, field="report")
        node, now_s = decode(report), self._clock()
        self._forget_the_gone(now_s)
        if node.node_id not in self._nodes and len(self._nodes) >= MAX_NODES:
            raise InvalidRequest(f"there are {MAX_NODES} nodes already", field="node_id")
        self._nodes[node.node_id] = _Told(now_s, node, report)
        self._subsets.came(node.node_id)
        known = (self._nodes[each] for each in self._subsets.known_to(node.node_id))
        return [(max(0.0, now_s - told.at_s), told.report) for told in known]

    def _forget_the_gone(self, now_s: float) -> None:
        """Not at each report: a thousand nodes send as many a second."""
        if 0 <= now_s - self._swept_s < SWEEP_S:
            return
        self._swept_s = now_s
        for node_id, told in list(self._nodes.items()):
            if now_s - told.at_s > GONE_AFTER_S:
                self._subsets.gone(node_id)
            if now_s - told.at_s > FORGET_AFTER_S:
                del self._nodes[node_id]

    async def alive(self) -> list[str]:
        """The nodes of the whole cluster that live, and those that may."""
        now_s = self._clock()
        return [
            node_id
            for node_id, told in self._nodes.items()
            if self._state(told, now_s) is not NodeState.DOWN
        ]

    async def forget_node(self, node_id: str) -> None:
        """A node left in good order. Idempotent."""
        self._nodes.pop(node_id, None)
        self._subsets.gone(node_id)

    def _state(self, told: _Told, now_s: float) -> NodeState:
        return node_state(self._liveness, told.at_s, now_s)

    async def provider_use(self, use: NodeUse) -> None:
        """What a node's calls use of the provider's account, what it heard of that, and
        what became of its dials, which count each time that they are told."""
        self._limits.merge(use, time.monotonic())
        self._provider_error = use.error[:MAX_ERROR_CHARS] or self._provider_error
        self._gate.told(use.dials, self._clock())
        await self._save_breaker()

    async def provider_room(self, session_id: str, priority: Priority) -> Answer:
        """Whether the provider takes calls, and its account has room for a new one beside
        those that are live; kept for it for 10 s, or until its node tells of it. Idempotent."""
        refused = self._gate.admit(session_id, priority, self._clock())
        await self._save_breaker()
        if refused is not None:
            return refused
        answer = self._limits.admit(session_id, priority, time.monotonic())
        if isinstance(answer, Refused):
            self._gate.gave_up(session_id)
        return answer

    async def gave_up(self, session_id: str) -> None:
        """A call for which room was kept does not begin. Idempotent."""
        self._limits.gave_up(session_id)
        self._gate.gave_up(session_id)

    async def status(self) -> dict[str, Any]:
        """Nodes by id and the provider, as they are now."""
        now_s = self._clock()
        nodes = {
            node_id: {
                "state": self._state(each, now_s).value,
                "age_s": max(0.0, now_s - each.at_s),
                "load": asdict(each.node),
            }
            for node_id, each in self._nodes.items()
        }
        healthy = any(node["state"] == NodeState.HEALTHY for node in nodes.values())
        return {
            "healthy": healthy and self._breaker.state(now_s) is not State.OPEN,
            "nodes": nodes,
            "provider": await self.provider(),
        }

    async def provider(self) -> dict[str, Any]:
        """Whether the provider takes calls, what became of dials, and whom it was refused."""
        return {
            "name": self._provider_name,
            "state": self._breaker.state(self._clock()).value,
            "failures_in_a_row": self._breaker.failures,
            "dials": {str(each): self._gate.dials[each] for each in Outcome},
            "last_error": self._provider_error,
            "expected_per_minute": self._limits.expected_per_minute(time.monotonic()),
            "refused": [*self._gate.tally().refusals(), *self._limits.tally().refusals()],
        }

    async def ping(self) -> dict[str, Any]:
        """Takes over from a predecessor, if there is one; the epoch.

        Raises:
            Fenced: a successor has taken over.
        """
        return {"epoch": await self._writer.begin()}

    def close(self) -> None:
        """Finishes writing and closes the database; blocks."""
        self._writer.close()
        self._store.close()

    # ------------------------------------------------------------- the breaker

    def _restore(self, connection: Connection) -> Breaker:
        row = connection.execute(
            sa.select(provider_health).where(provider_health.c.provider == self._provider_name)
        ).one_or_none()
        if row is None:
            return Breaker(self._rules)
        opened_at_s = min(row.opened_at_s, self._clock())
        return Breaker.restore(self._rules, State(row.state), row.failures, opened_at_s)

    def _breaker_row(self) -> dict[str, Any]:
        state, failures, opened_at_s = self._breaker.snapshot()
        return {
            "provider": self._provider_name,
            "state": state.value,
            "failures": failures,
            "opened_at_s": opened_at_s,
            "detail": self._provider_error,
        }

    async def _save_breaker(self) -> None:
        """Only what a restart would need to know, and only when it changed."""
        row = self._breaker_row()
        same = ("state", "failures", "opened_at_s")
        if any(row[name] != self._saved[name] for name in same):
            self._saved = row
            await self._writer.run(lambda connection: upsert(connection, provider_health, row))
            log.info("provider's breaker", state=row["state"], failures=row["failures"])
