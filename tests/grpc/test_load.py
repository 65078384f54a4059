"""The load driver against a server whose every message the test decides, and
against the real front door."""

from __future__ import annotations

import asyncio
import json
import os
import time
from random import Random

import grpc
import pytest
from typer.testing import CliRunner

from cluster.cli import app
from cluster.door_config import DoorConfig
from cluster.front_door import FrontDoor
from cluster.grpc_errors import rich_status
from cluster.load.arrivals import parse_arrivals
from cluster.load.driver import Driver
from cluster.load.fleet import Fleet
from cluster.load.holding import parse_holding
from cluster.load.scenario import SILENT, Sounds, cast_of, parse_scenario
from cluster.load.schedule import Plan
from cluster.load.watch import Watch, descendants, server_roots
from cluster.playback import FRAME_BYTES
from protos.reception.v1 import reception_pb2 as rv
from reception.errors import LimitReached, NotFound, ReceptionError, Unavailable
from tests.fakes.backends import FakeBackends, worker_at
from tests.fakes.door import FakeDoor
from tests.fakes.provider import FakeProvider
from tests.fakes.receptionist import Receptionist
from tests.waiting import PATIENCE_S, patience

WORDS = bytes([0x12]) * FRAME_BYTES * 10
SOUNDS = Sounds(lambda _text, _voice: WORDS, lambda _path: WORDS)


@pytest.fixture
async def door():
    fake = FakeDoor()
    fake.conversation = Receptionist()
    await fake.start()
    yield fake
    await fake.stop()


def _plan(address, steps, arrivals="burst:1", hold="", **fields):
    callers = steps if "name:" in steps else f"[{{name: x, steps: {steps}}}]"
    casts = cast_of(parse_scenario(f"callers: {callers}", "test"), SOUNDS)
    holding = parse_holding(hold) if hold else None
    fields = {"duration_s": 1.0, "drain_s": PATIENCE_S, "patience_s": PATIENCE_S} | fields
    return Plan(address, casts, parse_arrivals(arrivals, lambda _: ()), holding, **fields)


@pytest.fixture(autouse=True)
def _an_answer_ends_when_the_server_says_so(monkeypatch):
    """A process that stands still makes a pause in the middle of one."""
    monkeypatch.setattr("cluster.script.GIVEN_UP_QUIET_S", PATIENCE_S)


def late_frames(measures):
    """By so many frames the telephones' clock was late, since this process stood still."""
    return measures.durations["tick_late"].max_ms / 20


async def _run(plan, **fields):
    before = asyncio.all_tasks()
    driver = Driver(plan, **fields)
    try:
        await driver.connect()
        async with patience():
            measures = await driver.run(time.monotonic())
    finally:
        await driver.close()
    async with patience():
        while {each.get_name() for each in asyncio.all_tasks() - before} & {
            "ticker", "progress", "caller's words",
        }:  # fmt: skip
            await asyncio.sleep(0.01)
    return measures


# ---------------------------------------------------------------- one kind of call


async def test_a_call_from_greeting_to_goodbye_is_measured(door):
    measures = await _run(
        _plan(door.address, "[listen, {say: hello}, listen, {press: 12#}, hang_up]", "burst:3")
    )
    metrics = measures.metrics()
    assert (metrics["calls"], metrics["accepted"], metrics["served_pct"]) == (3, 3, 100)
    assert metrics["turns"] == 6
    assert metrics["frames_lost"] == metrics["frames_stale"] == metrics["frames_unsent"] == 0
    assert metrics["frames_received"] == 3 * 20
    assert metrics["added_p50_ms"] == 1.5
    assert (metrics["added_up_p50_ms"], metrics["added_up_max_ms"]) == (0.5, 0.5)
    assert (metrics["added_down_p50_ms"], metrics["added_down_max_ms"]) == (1.0, 1.5)  # greeting
    assert [measures.durations[f"added{way}"].count for way in ("", "_up", "_down")] == [6, 3, 6]
    assert sum(each.get("received", 0) for each in measures.series.values()) == 3 * 20
    assert sum(each.get("lost", 0) for each in measures.series.values()) == 0
    assert 0 < metrics["setup_p50_ms"] <= metrics["first_audio_p50_ms"]
    # The receptionist answers after a pause of 5 frames, the last of them at 80 ms or later;
    # a clock that was late makes up for it in less.
    assert metrics["answer_p50_ms"] > 60 - measures.durations["tick_late"].max_ms
    house = door.conversation
    assert house.seen["dtmf 12#"] == 3
    assert house.seen["mark"] == 6
    assert house.seen["end"] == 3
    assert {start.metadata["load"] for start in house.starts} == {"x"}
    assert len({getattr(start, "from") for start in house.starts}) == 3
    # Every frame that the server got was sent, and none but those after the end.
    assert house.seen["audio"] == metrics["frames_sent"]


async def test_lost_frames_are_counted(door):
    door.conversation.lose_every = 5
    measures = await _run(_plan(door.address, "[listen, hang_up]"))
    assert measures.counts["frames_lost"] == 1  # of 10, the last one's loss is not to be seen
    assert measures.counts["frames_received"] == 8


async def test_callers_who_wait_for_a_line_are_counted_once(door):
    async def keep_waiting(line):
        for position in (2, 1):
            await line.send(queued=rv.Queued(position=position))
        await Receptionist()(line)

    door.conversation = keep_waiting
    measures = await _run(_plan(door.address, "[listen, hang_up]", "burst:2"))
    assert (measures.counts["queued"], measures.counts["accepted"]) == (2, 2)


async def test_an_interruption_is_timed(door):
    door.conversation = Receptionist(answer_frames=100)
    measures = await _run(
        _plan(door.address, "[{interrupt: {say: stop, after_s: 0.2}}, {silence_s: 0.06}]")
    )
    assert door.conversation.seen["interrupted"] == 1
    assert measures.counts["interruptions"] == 1
    assert measures.durations["barge_in"].count == 1
    late_ms = measures.durations["tick_late"].max_ms
    assert measures.durations["barge_in"].max_ms < 2_000 + late_ms
    assert measures.statuses == {"OK": 1}


async def test_a_leg_that_suppresses_silence_sends_no_frames(door):
    measures = await _run(
        _plan(door.address, "[{say: hello}, {wait_s: 0.3}, {say: hello}, hang_up]")
    )
    (gap,) = door.conversation.silences
    late = late_frames(measures)
    assert 13 - late <= gap <= 16 + late


async def test_a_caller_hangs_up_in_the_middle_of_a_word(door):
    measures = await _run(
        _plan(door.address, "[hang_up: {say: my number is, after_s: 0.1}]", "burst:4")
    )
    assert measures.statuses == {"OK": 4}
    assert measures.counts["frames_sent"] == 4 * 5
    assert measures.durations["ending"].count == 4


async def test_calls_last_as_long_as_they_hold(door):
    measures = await _run(_plan(door.address, "[{silence_s: 0.1}]", "burst:2", "fixed:0.6"))
    assert measures.statuses == {"OK": 2}
    frames = measures.counts["frames_sent"] / 2  # fewer where the machine stood still
    assert 0.1 * 50 + 8 - late_frames(measures) < frames <= 0.6 * 50 + 2 + late_frames(measures)


# ---------------------------------------------------------------- callers who misbehave


class Ends:
    """How the server saw a call end."""

    def __init__(self):
        self.received = []
        self.gone = asyncio.Event()

    async def __call__(self, line):
        await line.accept()
        try:
            async for message in line._requests:
                self.received.append(message.WhichOneof("message"))
            await asyncio.Event().wait()  # where a half-close would leave us
        except asyncio.CancelledError:
            self.gone.set()
            raise


@pytest.mark.parametrize("how", ["cut", "silent"])
async def test_a_caller_vanishes_without_a_goodbye(door, how):
    door.conversation = ends = Ends()
    driver = Driver(_plan(door.address, f"[{{silence_s: 0.1}}, vanish: {how}]"))
    await driver.connect()
    measures = await driver.run(time.monotonic())
    assert measures.statuses == {"VANISHED": 1}
    assert measures.counts["expected"] == 1
    assert set(ends.received) == {"audio"}
    if how == "silent":  # the connection is still there, and nothing comes
        await asyncio.sleep(0.3)
        assert not ends.gone.is_set()
        await driver.close()
    await asyncio.wait_for(ends.gone.wait(), PATIENCE_S)
    await driver.close()


async def test_garbage_is_expected_to_be_refused(door):
    async def conversation(line):
        await line.accept()
        async for message in line._requests:
            if len(message.audio.payload) > 8_000:
                await line.context.abort(grpc.StatusCode.INVALID_ARGUMENT, "audio is too long")

    door.conversation = conversation
    measures = await _run(_plan(door.address, "[{silence_s: 0.06}, garbage: huge]", "burst:2"))
    assert measures.statuses == {"INVALID_ARGUMENT": 2}
    assert measures.counts["expected"] == 2


async def test_garbage_that_is_swallowed_is_a_failure(door):
    measures = await _run(
        _plan(door.address, "[{silence_s: 0.06}, garbage: huge]", patience_s=0.5, drain_s=2)
    )
    assert measures.statuses == {"HUNG": 1}
    assert measures.counts["failed"] == 1


# ---------------------------------------------------------------- servers that misbehave


async def test_refusals_are_timed_and_asked_for_their_retry_info(door):
    refused = 0

    async def conversation(line):
        nonlocal refused
        refused += 1
        await line.next("start")
        status = rich_status(
            grpc.StatusCode.RESOURCE_EXHAUSTED, "no session is free", retry_after_s=refused % 2
        )
        await line.context.abort(status.code, status.details, status.trailing_metadata)

    door.conversation = conversation
    measures = await _run(_plan(door.address, "[listen]", "burst:20"))
    assert measures.statuses == {"RESOURCE_EXHAUSTED": 20}
    assert measures.counts["refused"] == 20
    assert measures.counts["refused_with_retry"] == 10
    assert measures.durations["refused"].count == 20
    assert measures.durations["setup"].count == 0
    assert measures.faults == {"no session is free": 20}
    assert measures.metrics()["served_pct"] == 0


async def test_a_server_that_never_answers_hangs_no_one(door):
    async def conversation(line):
        await line.rest()

    door.conversation = conversation
    measures = await _run(_plan(door.address, "[listen]", "burst:5", patience_s=0.3))
    assert measures.statuses == {"HUNG": 5}
    assert measures.counts["hung"] == 5
    assert measures.faults == {"neither accepted nor refused within 0.3 s": 5}


async def test_a_server_that_does_not_let_go_is_told(door):
    async def conversation(line):
        await line.accept()
        await line.rest()
        await asyncio.Event().wait()

    door.conversation = conversation
    measures = await _run(_plan(door.address, "[{silence_s: 0.1}]", patience_s=0.3))
    assert measures.statuses == {"HUNG": 1}
    assert "0.3 s after the caller's last message" in next(iter(measures.faults))


async def test_a_stream_that_breaks_has_its_status(door):
    async def conversation(line):
        await line.accept()
        await line.next("audio")
        await line.context.abort(grpc.StatusCode.INTERNAL, "the worker is gone")

    door.conversation = conversation
    measures = await _run(_plan(door.address, "[stay_on]", "burst:2"))
    assert measures.statuses == {"INTERNAL": 2}
    # grpcio's own words where a frame was being written just then (grpc issue 36066).
    assert set(measures.faults) <= {"the worker is gone", "Internal error from Core"}
    assert measures.faults.total() == 2
    assert measures.counts["refused"] == 0


async def test_a_silent_receptionist_is_no_success(door, monkeypatch):
    monkeypatch.setattr("cluster.script.ANSWER_PATIENCE_S", 0.1)
    door.conversation = Receptionist(answer_frames=0)
    measures = await _run(_plan(door.address, "[listen]"))
    assert measures.counts["no_answer"] == measures.counts["failed"] == 1


async def test_calls_that_stay_on_hang_up_when_the_run_is_over(door):
    measures = await _run(_plan(door.address, "[stay_on]", "burst:3", drain_s=0.5))
    assert measures.statuses == {"OK": 3}
    assert door.conversation.seen["end"] == 3


async def test_the_receptionist_may_hang_up_and_transfer(door):
    async def conversation(line):
        await line.accept()
        await line.send(transfer=rv.Transfer(destination="+15550110"))
        assert (await line.next("event")).event.kind == rv.CallEvent.KIND_TRANSFER_SUCCEEDED
        await line.send(hangup=rv.Hangup(reason="completed"))
        ends.append((await line.next("end")).end.reason)

    ends: list[str] = []
    door.conversation = conversation
    measures = await _run(_plan(door.address, "[stay_on]"))
    assert (measures.statuses, ends) == ({"OK": 1}, ["released"])


# ---------------------------------------------------------------- an open loop


async def test_slow_answers_delay_no_other_call_and_are_not_omitted(door):
    """The server stalls for 0.8 s: everybody who came then has waited."""
    free_s = 0.0

    async def conversation(line):
        nonlocal free_s
        start = (await line.next("start")).start
        now_s = asyncio.get_running_loop().time()
        free_s = free_s or now_s + 0.8
        await asyncio.sleep(max(0.0, free_s - now_s))
        await line.send(accepted=rv.CallAccepted(format=start.format))
        await line.rest()

    door.conversation = conversation
    plan = _plan(door.address, "[{silence_s: 0.04}]", "constant:20", duration_s=1.0)
    measures = await _run(plan)
    assert measures.counts["accepted"] == 20
    # A closed loop would have seen one slow call.
    assert measures.durations["setup"].percentile_ms(50) > 150
    assert measures.statuses == {"OK": 20}
    assert sum(point.get("began", 0) for point in measures.series.values()) == 20


async def test_the_bound_of_live_calls_is_kept_and_told(door):
    measures = await _run(_plan(door.address, "[{silence_s: 0.2}]", "burst:10", most_live=4))
    assert measures.counts["calls"] == 4
    assert measures.counts["not_placed"] == 6


async def test_a_run_that_is_stopped_has_everybody_hang_up(door):
    told = asyncio.Event()
    plan = _plan(door.address, "[stay_on]", "burst:3/30", duration_s=600, unary_per_s=1)
    driver = Driver(plan, tell=lambda progress: told.set() if progress["accepted"] == 3 else None)
    await driver.connect()
    running = asyncio.create_task(driver.run(time.monotonic()))
    await asyncio.wait_for(told.wait(), PATIENCE_S)
    driver.stop()
    measures = await asyncio.wait_for(running, PATIENCE_S)
    await driver.close()
    assert measures.statuses["OK"] == 3
    assert measures.counts["calls"] == 3


async def test_requests_at_a_rate(door):
    door.calls = {f"c{number}": rv.Call(call_id=f"c{number}") for number in range(3)}
    plan = Plan(door.address, (SILENT,), None, duration_s=1.0, unary_per_s=40)
    measures = await _run(plan)
    metrics = measures.metrics()
    assert (metrics["unary"], metrics["unary_ok"], metrics["calls"]) == (40, 40, 0)
    assert metrics["unary_p99_ms"] > 0
    # ListCalls; the others asked for one of the calls, once a first answer had named some
    slow = measures.durations["unary"].max_ms > 900  # so late that there was none in time
    assert 20 <= len(door.requests) < 40 + slow
    del door.calls["c0"]
    door.calls["c9"] = rv.Call(call_id="c9")


async def test_failed_requests_are_told(door):
    plan = Plan(door.address, (SILENT,), None, duration_s=0.2, unary_per_s=20, key="wrong")
    measures = await _run(plan)
    assert measures.statuses == {"unary UNAUTHENTICATED": 4}
    assert measures.metrics()["unary_ok_pct"] == 0


# ---------------------------------------------------------------- dozens, of every kind


MIXED = """
  - {name: talks, weight: 4, steps: [listen, {say: hi}, listen, hang_up]}
  - {name: hangs up, weight: 2, steps: [{hang_up: {say: my number, after_s: 0.1}}]}
  - {name: vanishes, weight: 2, steps: [{silence_s: 0.2}, vanish]}
  - {name: no telephone, weight: 1, steps: [garbage: bytes], expect: [UNKNOWN, INTERNAL, CANCELLED]}
"""


async def test_dozens_of_calls_of_every_kind(door):
    plan = _plan(door.address, MIXED, "poisson:12", duration_s=3.0, seed=4)
    expected = len(list(plan.pattern.arrivals(3.0, Random("4 arrivals"))))
    measures = await _run(plan)
    assert measures.counts["calls"] == expected > 24
    assert set(measures.by_caller) == {"talks", "hangs up", "vanishes", "no telephone"}
    assert set(measures.by_caller["vanishes"]) == {"VANISHED"}
    assert set(measures.by_caller["talks"]) == {"OK"}
    assert measures.counts["failed"] == 0, (measures.by_caller, measures.faults)


# ---------------------------------------------------------------- the real front door


@pytest.fixture
def idle_timeout_s():
    return 10 * PATIENCE_S


@pytest.fixture
async def real(tmp_path, idle_timeout_s):
    """The real front door, audio worker and link; backends and provider of the tests."""
    provider = FakeProvider()
    path = str(tmp_path / "w.sock")
    backends = FakeBackends(path, await provider.start())
    worker = await worker_at(path)
    config = DoorConfig("127.0.0.1", 0, "n1", idle_timeout_s, attach_timeout_s=PATIENCE_S)
    front = FrontDoor(config, backends)
    yield await front.start(), backends
    await backends.until_quiet()
    await front.stop()
    await worker.stop()
    await provider.stop()


GARBAGE = """
  - {name: bytes first, steps: [garbage: bytes]}
  - {name: digits first, steps: [garbage: digits]}
  - {name: bytes, steps: [{silence_s: 0.1}, garbage: bytes]}
  - {name: start, steps: [{silence_s: 0.1}, garbage: start]}
  - {name: backwards, steps: [{silence_s: 0.5}, garbage: backwards]}
  - {name: huge, steps: [{silence_s: 0.1}, garbage: huge]}
  - {name: digits, steps: [{silence_s: 0.1}, garbage: digits]}
"""


async def test_the_real_door_refuses_every_kind_of_garbage(real):
    address, _ = real
    measures = await _run(_plan(address, GARBAGE, "constant:30"))
    assert len(measures.by_caller) == 7
    assert measures.counts["failed"] == 0, (measures.by_caller, measures.faults)


@pytest.mark.parametrize(("how", "idle_timeout_s"), [("cut", 10 * PATIENCE_S), ("silent", 3.0)])
async def test_the_real_door_lets_go_of_callers_who_vanish(real, how):
    address, backends = real
    driver = Driver(_plan(address, f"[{{silence_s: 0.1}}, vanish: {how}]", "burst:5"))
    await driver.connect()
    measures = await driver.run(time.monotonic())
    assert measures.statuses == {"VANISHED": 5}
    await backends.until_quiet()  # while a pulled cable still hangs there
    assert set(backends.gone) == {"caller_vanished"}
    await driver.close()


async def test_the_real_door_refuses_with_retry_info(real):
    address, backends = real
    backends.lease_error = LimitReached("no session is free", retry_after_s=2.0)
    measures = await _run(_plan(address, "[listen]", "burst:20"))
    assert measures.counts["refused"] == measures.counts["refused_with_retry"] == 20


# ---------------------------------------------------------------- processes


async def test_two_processes_share_the_calls(door):
    def work():
        fleet = Fleet(_plan(door.address, "[{silence_s: 0.1}]", "burst:9"), 2)
        try:
            fleet.start()
            fleet.go(time.time())
            over = False
            while not over:
                progress, over = fleet.poll(0.2)
            return progress, fleet.result()
        finally:
            fleet.close()

    progress, result = await asyncio.wait_for(asyncio.to_thread(work), PATIENCE_S)
    assert result["counts"]["calls"] == 9
    assert result["statuses"] == {"OK": 9}
    assert result["driver_cpu_s"] > 0
    assert set(progress) == {"live", "calls", "accepted", "failed", "unary"}


async def test_a_driver_that_dies_is_told(door):
    def work():
        fleet = Fleet(_plan(door.address, "[stay_on]"), 1)
        try:
            fleet.start()
            fleet.go(time.time())
            fleet._processes[0].kill()
            while True:
                fleet.poll(0.2)
        finally:
            fleet.close()

    with pytest.raises(ReceptionError, match=r"load driver 0 ended with exit code -9"):
        await asyncio.wait_for(asyncio.to_thread(work), PATIENCE_S)


def test_nobody_there(unused_tcp_port):
    fleet = Fleet(_plan(f"127.0.0.1:{unused_tcp_port}", "[listen]"), 1)
    try:
        with pytest.raises(Unavailable, match="nothing answers"):
            fleet.start()
    finally:
        fleet.close()


# ---------------------------------------------------------------- the server's processes


async def test_the_server_is_found_by_its_port_and_weighed(door):
    code = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    process = await asyncio.create_subprocess_exec(
        "python3", "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        assert server_roots(f"127.0.0.1:{port}") == [process.pid]
        watch = Watch([process.pid])
        watch.look(0, pss=True)
        watch.look(2, pss=True)
        assert (watch.account.metrics()["pss_mb_per_call"] or 0) > 0
        # Whoever drives is not the server, even where both have the same parent.
        found = {each.pid for each in descendants([process.pid, os.getpid()])}
        assert found == {process.pid}
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
    assert server_roots(f"127.0.0.1:{port}") == []
    with pytest.raises(NotFound, match="no process 999999999"):
        Watch([999_999_999])


# ---------------------------------------------------------------- the command


async def _command(*args):
    return await asyncio.to_thread(CliRunner().invoke, app, ["load", *map(str, args)])


async def test_the_command_writes_compares_and_fails(door, tmp_path):
    scenario = tmp_path / "s.yaml"
    scenario.write_text("callers: [{name: quiet, steps: [{silence_s: 0.2}]}]")
    common = (
        scenario,
        "-s",
        door.address,
        "-a",
        "constant:10",
        "-d",
        1,
        "--watch-pid",
        os.getppid(),
    )
    first = await _command(*common, "--json", tmp_path / "a.json", "--fail-if", "served_pct<100")
    assert first.exit_code == 0, first.output
    old = json.loads((tmp_path / "a.json").read_text())
    assert old["metrics"]["calls"] == 10
    assert old["plan"]["scenario"] == str(scenario)
    second = await _command(
        *common, "--html", tmp_path / "out" / "b.html", "--compare", tmp_path / "a.json",
        "--fail-if", "setup_p99_ms<1000000", "--fail-if", "barge_in_p99_ms>80",
    )  # fmt: skip
    assert second.exit_code == 1
    assert "fail-if setup_p99_ms < 1e+06: it is" in second.stderr
    assert "fail-if barge_in_p99_ms > 80: nothing was measured" in second.stderr
    assert "compared" in second.stdout
    html = (tmp_path / "out" / "b.html").read_text()
    assert "Against the older run" in html
    assert "setup_p99_ms &lt; 1e+06" in html


async def test_the_command_replays_a_file_of_arrivals_to_its_end(door, tmp_path, monkeypatch):
    """To the end without --duration, whatever is usual; with it, so far."""
    monkeypatch.setattr("cluster.load.arrivals.USUAL_S", 0.3)
    arrivals, written = tmp_path / "calls.csv", tmp_path / "a.json"
    arrivals.write_text("at_s,hold_s\n0,0.1\n1.2,0.2\n0.1,\n")
    common = ("-s", door.address, "--no-watch", "--json", written, "--hold", "fixed:0.3")

    async def report(*args):
        done = await _command(*common, *args)
        assert done.exit_code == 0, done.output
        return json.loads(written.read_text())

    found = await report("-a", f"csv:{arrivals}")
    assert (found["metrics"]["calls"], found["metrics"]["served_pct"]) == (3, 100)
    assert found["plan"]["duration_s"] == pytest.approx(1.3)
    assert [each["point"] for each in found["series"]["calls"] if each["began"]] == [0, 1]
    assert (await report("-a", f"csv:{arrivals}", "-d", 1))["metrics"]["calls"] == 2
    assert (await report("-a", "constant:10"))["metrics"]["calls"] == 3
    done = await _command(*common, "-a", f"csv:{tmp_path}/none.csv")
    assert done.exit_code == 1
    assert "No such file" in done.stderr


async def test_the_command_finds_mistakes_before_it_calls(door, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("no")
    for args, told in (
        (("--fail-if", "setup_p99>3"), "did you mean setup_p99_ms"),
        (("--arrivals", "often"), "arrivals 'often': use constant:PER_S"),
        (("--hold", "long"), "hold 'long': use fixed:S"),
        ((tmp_path / "none.yaml",), "No such file"),
        (("--compare", bad), "is no JSON"),
        (("--watch-pid", 999_999_999), "there is no process"),
    ):
        done = await _command("-s", door.address, *args)
        assert done.exit_code == 1, done.output
        assert told in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert door.conversation.starts == []


async def test_requests_alone_from_the_command(door, tmp_path):
    door.calls["c1"] = rv.Call(call_id="c1")
    done = await _command(
        "-s", door.address, "--unary", 20, "-d", 1, "--no-watch", "--json", tmp_path / "u.json",
        "--fail-if", "unary_ok_pct<100",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "u.json").read_text())["metrics"]
    assert (metrics["unary_ok"], metrics["calls"]) == (20, 0)


async def test_a_run_in_which_nothing_succeeds_fails(unused_tcp_port):
    done = await _command("-s", f"127.0.0.1:{unused_tcp_port}", "--no-watch", "-d", 1)
    assert done.exit_code == 1
    assert "nothing answers" in done.stderr
