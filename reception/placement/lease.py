"""What a node gives to a call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """A call's place: its node, where its worker is reached from the front door (socket or
    TLS), the lease that opens it, the profile and model that answer; resume_token lets
    the caller come back to it, once."""

    node_id: str
    worker_address: str
    lease_id: str
    worker_id: str
    profile: str
    model: str
    resume_token: str = ""
