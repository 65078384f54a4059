"""What a node gives to a call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """A call's place: the worker's socket, the lease that opens it, the profile
    and model that answer."""

    worker_socket: str
    lease_id: str
    worker_id: str
    profile: str
    model: str
