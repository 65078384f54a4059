"""What actors are given: a node agent for its node, a session for one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from reception.call.phrases import Recorded
from reception.call.profile import Profile
from reception.call.record import CallSpec
from reception.media.adaptation import Targets
from reception.money.savings.levels import Level
from reception.placement.admission.admission import AdmissionRules
from reception.placement.admission.concurrency import LimitRules
from reception.placement.pool import PoolRules
from reception.placement.recycling import RecyclingRules
from reception.placement.sizer import SizerRules

CALL_MB = 3.0  # what a live call adds to its session, its worker and its door


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """Which provider answers; base_url "" is the provider's own. savings: how its bill is
    kept low, where the profile says nothing."""

    provider: str
    base_url: str
    model: str
    voice: str = ""
    savings: Level = Level.OFF


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that a session needs for one call.

    audio_format is what the provider gets and gives (`uplink.choose`);
    progress_socket is where the node agent hears how the call gets on; session is
    the name of the session that it is given to; unbilled_s how long it goes on while
    nothing can be billed; level is how the call saves; phrases are recordings of what
    the profile says word for word, without a path where they are spoken here;
    synthesizer is the socket of who speaks answers that come as text.
    """

    spec: CallSpec
    profile: Profile
    model: str
    worker_socket: str
    provider: ProviderConfig
    audio_format: str
    progress_socket: str
    session: str = ""
    unbilled_s: float = inf
    level: Level = Level.OFF
    phrases: Mapping[str, Recorded] = field(default_factory=dict)
    synthesizer: str = ""

    @property
    def asked_model(self) -> str:
        """That would speak if nothing was saved."""
        return self.profile.model or self.provider.model


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What a node agent needs to know.

    host: where other nodes reach this one; zone: where it stands; outbox_path: a folder for
    what can't be written yet; phrases_path: one with recordings of fixed phrases;
    unbilled_s, synthesizer: as in Assignment; "" where no calls have answers as text;
    most_grace_s: the longest that live calls may have when the node leaves.
    """

    node_id: str
    socket_dir: str
    database_url: str
    profile_path: str
    pool: PoolRules
    workers: int = 2
    recordings_path: str = "var/recordings"
    resume_wait_s: float = 10.0
    sizing: SizerRules = field(default_factory=SizerRules)
    targets: Targets = field(default_factory=Targets)
    recycling: RecyclingRules = field(default_factory=RecyclingRules)
    host: str = "127.0.0.1"
    zone: str = ""
    outbox_path: str = ""
    unbilled_s: float = inf
    phrases_path: str = ""
    synthesizer: str = ""
    most_grace_s: float = inf

    @property
    def agent_socket(self) -> str:
        """Where the agent hears of its calls, by datagram."""
        return f"{self.socket_dir}/agent.sock"

    def admission_rules(self) -> AdmissionRules:
        """Whom this node takes. Sessions are there before their calls, so that a call
        adds little memory; bounds are those past which callers hear it."""
        return AdmissionRules(
            capacity=self.pool.ceiling,
            limit=LimitRules(misses_per_s=5.0, lag_p95_ms=40.0, cpu_percent=95.0),
            memory_percent=self.targets.memory_percent,
            call_mb=CALL_MB,
        )
