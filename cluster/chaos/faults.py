"""The faults: what each does to a cluster with live calls, and how that heals."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.chaos import node_faults, outer_faults, singleton_faults
from cluster.chaos.caller import ChaosCaller
from cluster.chaos.scene import Strike
from cluster.chaos.schedule import parse_faults
from cluster.local import Member
from reception.errors import InvalidRequest

# of silence that the loss of one may add
SESSION_MS, WORKER_MS, NODE_MS = 100.0, 1_500.0, 4_000.0
IDLE_S = 15.0  # REALTIME_IDLE_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Fault:
    """What may happen.

    Attributes:
        what: it does.
        heals: how the calls go on.
        within_s: silence that begins so long after it is its doing; then all is well.
        strike: does it; says to whom.
        cables: callers' connections can be cut.
        most_ms: of silence that it may add for a listener; 0: nothing is promised.
        whole: nothing of an answer may be lost, or heard twice.
        database: of `databases.KINDS`, with which alone it can be tried; "": with any.
    """

    name: str
    what: str
    heals: str
    within_s: float
    strike: Strike
    cables: bool = False
    most_ms: float = 0.0
    whole: bool = False
    database: str = ""


def chosen(text: str, database: str) -> list[str]:
    """Names from "session,worker"; "" or "all" is every one that this database is for.

    Raises:
        InvalidRequest: there is no such fault, or it needs another database.
    """
    possible = [name for name, fault in FAULTS.items() if fault.database in ("", database)]
    names = parse_faults(text, list(FAULTS))
    if text.strip() in ("", "all"):
        return possible
    for name in names:
        if name not in possible:
            needs = FAULTS[name].database
            raise InvalidRequest(f"{name} needs the database {needs}", field="faults")
    return names


_ALL = (
    Fault("session", "SIGKILL of a call session", "its node leases the call another one", 4.0,
          node_faults.session, most_ms=SESSION_MS, whole=True),
    Fault("worker", "SIGKILL of an audio worker", "its calls dial again on another one", 8.0,
          node_faults.one_of("AudioWorker"), most_ms=WORKER_MS),
    Fault("front_door", "SIGKILL of a front door",
          "callers come back at the next door with their resume tokens", 8.0,
          node_faults.one_of("FrontDoor")),
    Fault("agent", "SIGKILL of a node's agent",
          "the node ends; its calls go on at other nodes", 10.0, node_faults.agent,
          most_ms=NODE_MS),
    Fault("node_lost", "SIGKILL of everything of a node",
          "doors take its calls to other nodes; callers of its door come back elsewhere", 8.0,
          node_faults.to_a_node(Member.lose), most_ms=NODE_MS),
    Fault("node_frozen", f"SIGSTOP of a node for {node_faults.FROZEN_S:g} s",
          "as node_lost; waking up, it finds that its calls are others'", 8.0,
          node_faults.to_a_node(node_faults.freeze), most_ms=NODE_MS),
    Fault("node_leaves", "SIGTERM of a node", "it hands its calls over", 8.0,
          node_faults.to_a_node(Member.leave)),
    Fault("rolling_restart", "every node leaves in turn, after another has come in its place",
          "as node_leaves", 8.0, node_faults.rolling_restart),
    Fault("cost", "SIGKILL of the cost controller", "Ray starts it again", 8.0,
          singleton_faults.one(singleton_faults.COST)),
    Fault("cost_away",
          f"SIGKILL of the cost controller again and again for {singleton_faults.AWAY_S:g} s",
          "calls go on; new ones begin on what their door has leased", 10.0,
          singleton_faults.cost_away),
    Fault("security", "SIGKILL of the security guard", "Ray starts it again", 8.0,
          singleton_faults.one("SecurityGuard")),
    Fault("health", "SIGKILL of the health monitor", "Ray starts it again", 8.0,
          singleton_faults.one("HealthMonitor")),
    Fault("gcs", "SIGKILL of Ray's GCS", "the head starts it again, from its disk", 8.0,
          singleton_faults.gcs, database="sqlite"),
    Fault("home_lost", "SIGKILL of everything of the node with the cost controller",
          "Ray starts its singletons elsewhere; its calls go on as of node_lost", 8.0,
          singleton_faults.home_lost, most_ms=NODE_MS, database="postgresql"),
    Fault("home_frozen",
          f"SIGSTOP of that node for {singleton_faults.STOOD_STILL_S:g} s and more",
          "the same; waking up, its singletons find that they have successors, and it ends", 8.0,
          singleton_faults.home_frozen, most_ms=NODE_MS, database="postgresql"),
    Fault("provider", "the provider breaks every session", "calls dial again", 8.0,
          outer_faults.provider("drop")),
    Fault("provider_expires", "the provider ends every session as too old", "calls dial again",
          8.0, outer_faults.provider("expire")),
    Fault("provider_away",
          f"the provider breaks every session, and takes none for "
          f"{outer_faults.PROVIDER_AWAY_S:g} s",
          "calls dial again, with growing pauses", 12.0,
          outer_faults.provider(f"away {outer_faults.PROVIDER_AWAY_S:g}")),
    Fault("provider_broke",
          f"the quota is spent for {outer_faults.PROVIDER_BROKE_S:g} s: sessions break, new ones "
          f"fail at their first answer",
          "calls that need it end with an apology; new ones are refused until one is answered",
          4.0, outer_faults.provider_broke),
    Fault("caller_vanishes", "a third of the callers send and read nothing any more",
          f"the door ends their calls after {IDLE_S:g} s", IDLE_S + 4.0,
          outer_faults.some_callers(ChaosCaller.vanish), cables=True),
    Fault("caller_slow", "a third of the callers send at a quarter of real time",
          "as caller_vanishes", IDLE_S + 4.0, outer_faults.some_callers(ChaosCaller.slow)),
    Fault("caller_deaf", "a third of the callers read nothing any more", "as caller_vanishes",
          IDLE_S + 4.0, outer_faults.some_callers(ChaosCaller.deaf)),
    Fault("stream_cut", "the connections of a third of the callers break",
          "they come back at another door with their resume tokens", 8.0,
          outer_faults.some_callers(ChaosCaller.cut), cables=True),
    Fault("database", f"nobody can write to the database for {outer_faults.DATABASE_GONE_S:g} s",
          "calls go on, what is to be written is kept; new calls are refused", 8.0,
          outer_faults.database),
)  # fmt: skip
FAULTS = {fault.name: fault for fault in _ALL}
