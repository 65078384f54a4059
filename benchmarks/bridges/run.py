"""One measurement: a bridge, a number of calls, a window of time."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.bridges import pipecat_environment
from benchmarks.bridges.delays import served, speaker_of, way
from benchmarks.bridges.parts import READY_S, Part
from benchmarks.bridges.tree import Tree
from benchmarks.figures import quantile

BRIDGES = ("echo", "minimal", "gateway", "pipecat")
PLACE_S = 180.0
SESSION_S = 6.0  # that one of the gateway's sessions may take to start
STEADY_WITHIN_S = 120.0
LOOK_S = 1.0
ARRIVE_S = 1.5  # for what was sent last in the window

# A part that ended or said nothing, a bridge that went away while it was measured, an
# environment that can't be made.
COULD_NOT = (RuntimeError, OSError, psutil.Error, subprocess.CalledProcessError)

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # of those who only drive

Figures = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured.

    settle_s: what passes without a new process before the window; the conversations
        come into their rhythm within 8 s.
    seconds: length of the window. per_second: new calls while calls are placed.
    answers: "paced" or "burst".
    """

    bridges: tuple[str, ...] = BRIDGES
    calls: tuple[int, ...] = (10, 50)
    settle_s: float = 8.0
    seconds: float = 30.0
    per_second: float = 10.0
    answers: str = "paced"
    dashboard: bool = True


def measure_all(plan: Plan, say: Say) -> Iterator[Figures]:
    """All bridges with all numbers of calls, bridge by bridge for each number, one provider
    for all. What a bridge can't carry is told so, and the run goes on."""
    provider: Part | None = None
    try:
        for calls in plan.calls:
            for bridge in plan.bridges:
                say(f"{bridge}, {calls} calls: starting")
                try:
                    if provider is None:
                        provider = _provider(plan)
                    provider.ask("records")  # forget
                    figures = _measure(plan, bridge, calls, provider, say)
                except COULD_NOT as error:
                    figures = {"could_not": f"{type(error).__name__}: {error}"}
                    if provider is not None:  # it may be in the middle of a sentence
                        provider.stop()
                        provider = None
                if "could_not" in figures:
                    say(f"{bridge}, {calls} calls: could not: {figures['could_not']}")
                yield {"bridge": bridge, "calls": calls} | figures | _circumstances(plan)
    finally:
        if provider is not None:
            provider.stop()


def _provider(plan: Plan) -> Part:
    arguments = ["--answers", plan.answers]
    return Part("benchmarks.bridges.provider", arguments, variables=ONE_THREAD)


def _circumstances(plan: Plan) -> Figures:
    return {
        "answers": plan.answers,
        "seconds": plan.seconds,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }


def _start(plan: Plan, bridge: str, calls: int, provider: Part) -> Part:
    if bridge == "echo":
        return Part("benchmarks.bridges.echo", [])
    arguments = ["--provider", provider.ready["base_url"]]
    if bridge == "pipecat":
        bot = str(Path(__file__).with_name("pipecat_bot.py"))
        return Part(bot, arguments, python=pipecat_environment.python())
    if bridge != "gateway":
        return Part(f"benchmarks.bridges.{bridge}", arguments)
    arguments += ["--calls", str(calls)]
    arguments += [] if plan.dashboard else ["--no-dashboard"]
    ready_s = READY_S + SESSION_S * calls  # it starts its sessions one after the other
    return Part("benchmarks.bridges.gateway", arguments, ready_s=ready_s)


def _measure(plan: Plan, bridge: str, calls: int, provider: Part, say: Say) -> Figures:
    with ExitStack() as stack:
        part = _start(plan, bridge, calls, provider)
        stack.callback(part.stop)
        ready = part.ready
        arguments = ["--bridge", bridge, "--address", ready["address"]]
        arguments += ["--key", ready.get("key", ""), "--calls", str(calls)]
        arguments += ["--per-second", str(plan.per_second)]
        callers = Part("benchmarks.bridges.callers", arguments, variables=ONE_THREAD)
        stack.callback(callers.stop)
        placed = callers.answer(PLACE_S + calls / plan.per_second)
        if not placed["up"]:
            return {"could_not": f"no call was taken: {placed['failed'][0]}"}
        tree = Tree(part.pid)
        _until_steady(tree, plan.settle_s)
        say(f"{bridge}, {calls} calls: {placed['up']} up, measuring for {plan.seconds:g} s")
        cost = _watch(tree, {"callers": callers.pid, "provider": provider.pid}, plan.seconds)
        time.sleep(ARRIVE_S)
        told = callers.ask("end")
    records = provider.ask("records")
    if bridge == "echo":
        records = {"heard": told["far"], "sent": told["far"], "damaged": 0}
    window = (cost.pop("begin_ns"), cost.pop("end_ns"))
    figures = _per_call(cost, placed["up"]) | _delays(told, records, window)
    return figures | {"failed": placed["failed"], "refusals": placed["tries"] - calls}


def _until_steady(tree: Tree, settle_s: float) -> None:
    """Until the bridge has started no process for so long."""
    until_s = time.monotonic() + STEADY_WITHIN_S
    tree.look()
    while tree.steady_for_s() < settle_s and time.monotonic() < until_s:
        time.sleep(LOOK_S)
        tree.look()


def _watch(tree: Tree, others: dict[str, int], seconds: float) -> Figures:
    """CPU in per cent of a core, by kind; PSS at the end; the window's times."""
    drivers = {name: Tree(pid) for name, pid in others.items()}
    for each in (tree, *drivers.values()):
        each.begin()
    myself = psutil.Process()
    machine, own = psutil.cpu_times(), myself.cpu_times()
    begin_ns = time.monotonic_ns()
    while time.monotonic_ns() < begin_ns + (seconds - LOOK_S) * 1e9:
        time.sleep(LOOK_S)
        tree.look()
    time.sleep(max(0.0, seconds - (time.monotonic_ns() - begin_ns) / 1e9))
    usage = tree.usage()
    end_ns = time.monotonic_ns()
    passed_s = (end_ns - begin_ns) / 1e9
    busy_s = _busy_s(psutil.cpu_times()) - _busy_s(machine)
    own_s = sum(myself.cpu_times()[:2]) - sum(own[:2])
    cpu_s = {name: sum(driver.usage().cpu_s.values()) for name, driver in drivers.items()}
    others_s = busy_s - own_s - sum(usage.cpu_s.values()) - sum(cpu_s.values())
    return {
        "cpu_pct": {kind: 100 * used_s / passed_s for kind, used_s in usage.cpu_s.items()},
        "pss_bytes": usage.pss_bytes,
        "callers_cpu_pct": round(100 * cpu_s["callers"] / passed_s, 1),
        "provider_cpu_pct": round(100 * cpu_s["provider"] / passed_s, 1),
        "others_cpu_pct": round(max(0.0, 100 * others_s / passed_s), 1),
        "begin_ns": begin_ns,
        "end_ns": end_ns,
    }


def _busy_s(times: Any) -> float:
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _per_call(cost: Figures, up: int) -> Figures:
    cpu, pss = cost.pop("cpu_pct"), cost.pop("pss_bytes")
    return {
        "cpu_pct_per_call": round(sum(cpu.values()) / up, 4),
        "cpu_by_kind": {kind: round(pct / up, 4) for kind, pct in _largest(cpu)},
        "pss_mb_per_call": round(sum(pss.values()) / up / 1e6, 3),
        "pss_mb_by_kind": {kind: round(size / 1e6, 1) for kind, size in _largest(pss)},
        **cost,
    }


def _largest(by_kind: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(by_kind.items(), key=lambda item: -item[1])


def _delays(told: Figures, records: Figures, window: tuple[int, int]) -> Figures:
    up = way(told["sent"], records["heard"], *window)
    down = way(records["sent"], told["heard"], *window)
    sessions = {speaker_of(mark): session for mark, session, _ in records["heard"]}
    return {
        "up_p50_ms": _ms(up.delays_ms, 0.5),
        "up_p99_ms": _ms(up.delays_ms, 0.99),
        "down_p50_ms": _ms(down.delays_ms, 0.5),
        "down_p99_ms": _ms(down.delays_ms, 0.99),
        "served": served(up, down, sessions, told["gone"]),
        "up_marks": up.sent.total(),
        "up_lost": up.sent.total() - len(up.delays_ms),
        "down_marks": down.sent.total(),
        "down_lost": down.sent.total() - len(down.delays_ms),
        "words_damaged": told["damaged"] + records["damaged"],
        "callers_late_p99_ms": _ms(told["late_ms"], 0.99),
    }


def _ms(values: Sequence[float], share: float) -> float | None:
    return round(quantile(values, share), 3) if values else None
