"""A whole run: a cluster under load, fault after fault, each judged by itself."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.spawn import AT_ONCE
from cluster import loop
from cluster.chaos import history as h
from cluster.chaos import near
from cluster.chaos.books import Books
from cluster.chaos.databases import KINDS
from cluster.chaos.faults import IDLE_S
from cluster.chaos.invariants import Violation
from cluster.chaos.logs import Logs
from cluster.chaos.provider import Provider
from cluster.chaos.scene import Scene
from cluster.chaos.schedule import Try
from cluster.chaos.summary import Report
from cluster.chaos.tones import VOICES
from cluster.chaos.trial import Plan, Tell, Trial, judge
from cluster.local import LocalCluster
from reception.errors import InvalidRequest, Unavailable

MOST_CALLS = VOICES
LIMIT_USD = 5_000.0
LEASES = "leases_end"
# A caller who talks into each answer of a minute, billed whole, spends fifteen times the
# upper rate; what is held has to last for as long as a fault does.
HOLD_SLICE_S = 240

Judged = Callable[[Try, list[Violation], Report], None]


def run(plan: Plan, tell: Tell, judged: Judged) -> Report:
    """All tries, telling how each goes, what it violated, and the report so far. Ctrl-C
    ends the run with the try that is on; what was tried until then is reported.

    Raises:
        InvalidRequest: more calls than there are voices.
        Unavailable: the cluster does not come up.
    """
    if not 1 <= plan.calls <= MOST_CALLS:
        text = f"calls must be from 1 to {MOST_CALLS}, not {plan.calls}"
        raise InvalidRequest(text, field="calls")
    report = Report()
    interrupted = contextlib.suppress(KeyboardInterrupt)
    with _scene(plan) as (scene, books, logs), loop.runner() as runner, interrupted:
        for each in plan.tries:
            broken = runner.run(Trial(scene, books, logs, plan, each, tell).run(report))
            judged(each, broken, report)
        if plan.near:
            last = Try(LEASES, 1, 0.0, "")
            tell(last, "waiting until no lease can be on any more")
            logs.begin()
            left = h.Began(LEASES, 1, 0, 0.0), *runner.run(near.over(scene, books))
            judged(last, judge(plan, logs, last, left, report), report)
    return report


@contextmanager
def _scene(plan: Plan) -> Iterator[tuple[Scene, Books, Logs]]:
    """A cluster in a folder of its own, and its provider; nothing of them is left."""
    with tempfile.TemporaryDirectory(prefix="c-") as name, contextlib.ExitStack() as stack:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        stack.callback(signal.signal, signal.SIGTERM, before)
        folder = Path(name)
        database = KINDS[plan.database](folder)
        stack.callback(database.close)
        provider = Provider(folder)
        url = provider.start()
        stack.callback(provider.stop)
        limits = {f"cost_limit_{each}": str(LIMIT_USD)
                  for each in ("hourly", "daily", "weekly", "monthly")}  # fmt: skip
        cluster = LocalCluster(folder, limits | {
            "provider": "embedded", "provider_base_url": url, "model": "scripted",
            "insecure_dev": "true", "pool_size": str(plan.pool), "drain_grace_s": "1",
            "pool_ceiling": str(plan.pool + math.ceil(plan.calls / plan.nodes)),
            "idle_timeout_s": str(IDLE_S), "rate_limit_per_minute": "100000",
            "rate_limit_per_hour": "1000000", "cost_failure": "lease" if plan.near else "closed",
        } | ({} if plan.near else {"hold_slice_s": str(HOLD_SLICE_S)}), database.url)  # fmt: skip
        stack.callback(cluster.stop)
        logs = Logs(folder)
        try:
            cluster.start(plan.nodes)
        except Unavailable as error:
            kept = logs.keep(plan.keep / "start")
            raise Unavailable(f"{error.message} (logs: {kept})") from error
        _be_prompt()
        books = Books(database.url, provider, int(LIMIT_USD * 1_000_000))
        stack.callback(books.close)
        yield Scene(cluster, provider, database), books, logs


def _be_prompt() -> None:
    """The callers' thread comes before all that is not as urgent, as the cluster's own
    audio does; without the privilege it stays as it is."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), AT_ONCE)


def pool_for(calls: int, nodes: int) -> int:
    """Sessions that each node keeps ready: enough for all callers at once, and for what a
    lost node leaves."""
    return math.ceil(calls / nodes) + 2
