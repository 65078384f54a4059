"""What a node says of itself each second, for those who place calls on it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from reception.errors import InvalidRequest
from reception.placement.balancing.bounds import named, within

REPORT_S = 1.0
MAX_NAME = 128
MAX_ADDRESS = 300
MAX_CALLS = 1_000_000


@dataclass(frozen=True, slots=True)
class NodeReport:
    """How a node is.

    zone: where it stands; "" for nowhere in particular.
    at_s: when it was measured, on the clock of whoever reads it. A call that the
        node got later than that is not in it, so it must not be stamped later
        than it was measured (`BalancerRules.clock_error_s`).
    capacity: calls that it can carry; live: those that it carries; reserved:
        those that it has admitted and not placed yet.
    cpu, memory: shares of the node's, 0 to 1.
    lag_ms: how late its event loops wake up.
    misses_per_s: frames for callers that went out later than their time.
    calls_per_s, errors_per_s: calls that began, and that failed by the node's
        fault, over the last half minute or so.
    ready: it takes calls; not while it starts or drains.
    version: of the software that it runs.
    link_address: where other nodes make links to it; "" while they can't.
    grpc_address: of its front door; "" while that is not open.

    Raises:
        InvalidRequest: a value is out of its bounds.
    """

    node_id: str
    zone: str
    at_s: float
    capacity: int
    live: int
    reserved: int
    cpu: float
    memory: float
    lag_ms: float
    misses_per_s: float
    calls_per_s: float
    errors_per_s: float
    ready: bool
    version: str
    link_address: str = ""
    grpc_address: str = ""

    def __post_init__(self) -> None:
        named("node_id", self.node_id, 1, MAX_NAME)
        named("zone", self.zone, 0, MAX_NAME)
        named("version", self.version, 0, MAX_NAME)
        named("link_address", self.link_address, 0, MAX_ADDRESS)
        named("grpc_address", self.grpc_address, 0, MAX_ADDRESS)
        for name in ("capacity", "live", "reserved"):
            within(name, getattr(self, name), 0, MAX_CALLS)
        for name in ("cpu", "memory", "ready"):
            within(name, getattr(self, name), 0, 1)
        for name in ("lag_ms", "misses_per_s", "calls_per_s", "errors_per_s"):
            within(name, getattr(self, name), 0)
        within("at_s", self.at_s, -1e12)


def encode(report: NodeReport) -> bytes:
    """As JSON."""
    return json.dumps(asdict(report), separators=(",", ":")).encode()


def decode(data: bytes, ahead_s: float = 0.0) -> NodeReport:
    """Fields that we don't know are a newer version's, and ignored.

    Args:
        ahead_s: by how much the sender's clock is ahead of ours.

    Raises:
        InvalidRequest: it is not what `encode` makes.
    """
    try:
        told = json.loads(data)
        known = {each.name: told[each.name] for each in fields(NodeReport) if each.name in told}
        known["at_s"] -= ahead_s
        return NodeReport(**known)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidRequest(f"report is not valid: {error}", field="report") from error
