"""Whole calls through a real Ray, real gRPC and a scripted provider."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import ray
from ray.exceptions import RayActorError, RayError

from actors.settings import load_settings
from cluster.bringup import ServeOptions, start
from cluster.caller import Caller, HangUp, Listen, Outcome, Press, Say, StayOn, Until
from cluster.deployment import Deployment
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from tests.cluster.patient import SCENE_S, placed, receptionist
from tests.waiting import PATIENCE_S, wait_until
from voice.scripted import SCRIPTED_MODEL, Script, Scripted
from voice.server import EngineConfig, EngineServer

pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).resolve().parents[2]
SESSIONS = 9  # at a time, of the provider's account; those that ended count for some seconds
SPEECH = bytes(range(0, 256)) * 60  # two seconds of something loud, mu-law


class ScriptedProvider:
    """The engine in scripted mode, on a thread of this process."""

    def __init__(self) -> None:
        self.url = ""
        scripted = Scripted(Script())
        config = EngineConfig(max_sessions=SESSIONS)
        self.server = EngineServer(config, scripted, scripted, scripted)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> str:
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result(PATIENCE_S)
        return f"http://127.0.0.1:{port}/v1"

    def script(self, script: Script) -> None:
        """Of sessions that begin from now on."""
        self.server._script = script

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    scripted = ScriptedProvider()
    scripted.url = scripted.start()
    yield scripted
    scripted.stop()


@pytest.fixture(scope="module")
def node(
    provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("node")
    options = ServeOptions(dashboard=False)
    settings = load_settings(
        provider="embedded",
        provider_base_url=provider.url,
        model=SCRIPTED_MODEL,
        grpc_port=0,
        http_port=0,
        pool_size=2,
        workers=2,
        receptionist_path=receptionist(folder),
        resume_wait_s=40.0,
        provider_sessions=SESSIONS,
        rate_limit_per_minute=10_000,
        rate_limit_per_hour=100_000,
        database_url=f"sqlite:///{folder}/reception.db",
    )
    deployment = start(options, settings)
    yield deployment
    deployment.stop()


@pytest.fixture(scope="module")
def key(node: Deployment) -> str:
    return node.create_key("tests", ["call", "read", "manage"])


def place(node: Deployment, key: str, *steps: Any, **fields: Any) -> Any:
    start_call = rv.CallStart(format=rv.LegFormat(codec=rv.CODEC_PCMU), sends_marks=True, **fields)

    def caller() -> Caller:
        return Caller(node.grpc_address, steps, key=key, start=start_call)

    return asyncio.run(asyncio.wait_for(placed(caller), SCENE_S))


def test_a_call_is_answered_recorded_and_billed(node: Deployment, key: str) -> None:
    outcome = place(
        node, key, Listen(), Say(SPEECH), Listen(), HangUp(), call_id="one", metadata={"a": "b"}
    )
    assert outcome.status == "OK", outcome.error
    assert outcome.call_id == "one"
    assert outcome.summary.end_reason == "caller_hangup"
    assert outcome.summary.turns >= 1
    assert outcome.summary.cost_micros > 0
    assert outcome.summary.metadata["a"] == "b"
    assert ("reception", "Certainly.") in outcome.transcript
    kinds = {turn.kind for turn in outcome.turns}
    assert kinds == {1, 2, 3, 4, 5}
    measured = [turn for turn in outcome.turns if turn.kind == rv.TurnEvent.KIND_DONE]
    assert any(turn.gateway_us > 0 for turn in measured)
    record = _ended(node, "one")
    assert record.cost_micros == outcome.summary.cost_micros
    assert record.stats["frames_in"] > 100
    assert node.snapshot()["costs"]["held_micros"] == 0


def test_the_documentations_first_call_works(node: Deployment, key: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    program = text.split("```python\n")[1].split("```")[0]
    assert program.count("\n") <= 40
    (tmp_path / "first_call.py").write_text(program)
    (tmp_path / "speech.ulaw").write_bytes(SPEECH)
    command = [sys.executable, "first_call.py", node.grpc_address, key, "speech.ulaw"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SCENE_S
    )
    assert done.returncode == 0, done.stderr
    assert "2 Certainly." in done.stdout
    assert 'end_reason: "caller_hangup"' in done.stdout


async def until(stream: Any, kind: str) -> Any:
    """The next message of this kind."""
    while (message := await stream.read()) is not grpc.aio.EOF:
        if message.HasField(kind):
            return getattr(message, kind)
    raise AssertionError(f"the stream ended before {kind}")


@pytest.fixture(scope="module")
def cancelled(node: Deployment, key: str) -> str:
    """The id of a call whose caller is gone, and might come back for a while."""

    async def cancel() -> None:
        async with grpc.aio.insecure_channel(node.grpc_address) as channel:
            stream = rpc.ReceptionStub(channel).Converse(metadata=[("x-api-key", key)])
            begin = rv.CallStart(call_id="gone", format=rv.LegFormat(codec=rv.CODEC_PCMU))
            await stream.write(rv.CallerMessage(start=begin))
            await until(stream, "accepted")
            stream.cancel()

    asyncio.run(asyncio.wait_for(cancel(), SCENE_S))
    return "gone"


@pytest.mark.usefixtures("cancelled")
def test_a_caller_who_cancels_leaves_a_node_that_serves_the_next(
    node: Deployment, key: str
) -> None:
    assert place(node, key, Listen(), HangUp()).status == "OK"


def _ended(node: Deployment, call_id: str) -> Any:
    """The record of a call, once it has ended."""
    return wait_until(
        lambda: node.call_record(call_id),
        lambda record: record is not None and record.state == "ended",
    )


def test_a_key_press_transfers(node: Deployment, key: str) -> None:
    outcome = place(node, key, Listen(), Press("1"), StayOn())
    assert outcome.transfer.name == "Sales"
    assert outcome.summary.end_reason == "transferred"
    assert outcome.summary.transferred_to == outcome.transfer.destination


def test_an_operator_ends_a_call_politely(node: Deployment, key: str) -> None:
    async def scene() -> Any:
        accepted = asyncio.Event()
        caller = Caller(
            node.grpc_address,
            [StayOn()],
            key=key,
            start=rv.CallStart(call_id="long", format=rv.LegFormat(codec=rv.CODEC_PCMU)),
            on_change=lambda _: accepted.set(),
        )
        call = asyncio.create_task(caller.call())
        await accepted.wait()
        metadata = [("x-api-key", key)]
        async with grpc.aio.insecure_channel(node.grpc_address) as channel:
            stub = rpc.ReceptionStub(channel)
            live = await stub.GetCall(rv.GetCallRequest(call_id="long"), metadata=metadata)
            assert live.state in (rv.CALL_STATE_ACTIVE, rv.CALL_STATE_CONNECTING)
            updates = stub.WatchCalls(
                rv.WatchCallsRequest(include_current=True, call_id="long"), metadata=metadata
            )
            first = await updates.read()
            assert first.kind == rv.CallUpdate.KIND_CURRENT
            await stub.EndCall(rv.EndCallRequest(call_id="long", reason="test"), metadata=metadata)
            outcome = await call
            while (update := await updates.read()).kind != rv.CallUpdate.KIND_ENDED:
                pass
            assert update.call.end_reason == "ended_by_operator"
            listed = await stub.ListCalls(rv.ListCallsRequest(), metadata=metadata)
            assert "long" in [each.call_id for each in listed.calls]
        return outcome

    outcome = asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    assert outcome.hangup == "ended_by_operator"


@pytest.mark.parametrize(
    ("codec", "rate_hz"),
    [(rv.CODEC_PCMA, 8_000), (rv.CODEC_L16, 8_000), (rv.CODEC_L16, 16_000),
     (rv.CODEC_L16, 24_000), (rv.CODEC_L16, 48_000), (rv.CODEC_OPUS, 48_000)],
)  # fmt: skip
def test_every_leg_codec_hears_the_greeting(
    node: Deployment, key: str, codec: rv.Codec, rate_hz: int
) -> None:
    async def listen() -> tuple[int, int]:
        received = frames = 0
        async with grpc.aio.insecure_channel(node.grpc_address) as channel:
            stream = rpc.ReceptionStub(channel).Converse(metadata=[("x-api-key", key)])
            leg = rv.LegFormat(codec=codec, rate_hz=rate_hz)
            await stream.write(rv.CallerMessage(start=rv.CallStart(format=leg)))
            while frames < 50:
                message = await stream.read()
                if message.HasField("audio"):
                    frames += 1
                    received += len(message.audio.payload)
            await stream.write(rv.CallerMessage(end=rv.CallEnd()))
            await stream.done_writing()
            while await stream.read() is not grpc.aio.EOF:  # else it might come back
                pass
        return received, frames

    received, frames = asyncio.run(asyncio.wait_for(listen(), SCENE_S))
    if codec == rv.CODEC_OPUS:  # packets are as long as their sound needs
        assert frames < received < frames * 200
        return
    sample_bytes = 1 if codec == rv.CODEC_PCMA else 2
    assert received == frames * rate_hz * sample_bytes // 50


@pytest.mark.parametrize("key_given", ["", "air_development_nope_nope_nope"])
def test_without_a_valid_key_nothing_is_answered(node: Deployment, key_given: str) -> None:
    outcome = place(node, key_given, StayOn())
    assert outcome.status == "UNAUTHENTICATED"


def test_a_call_outlives_its_session(node: Deployment, key: str) -> None:
    """Killed in the middle of an answer, and again while the caller speaks."""

    async def scene() -> Any:
        heard, spoken = asyncio.Event(), asyncio.Event()

        def on_change(outcome: Any) -> None:
            kinds = [turn.kind for turn in outcome.turns]
            if rv.TurnEvent.KIND_FIRST_AUDIO in kinds:
                heard.set()
            if rv.TurnEvent.KIND_SPEECH_STARTED in kinds:
                spoken.set()

        caller = Caller(
            node.grpc_address,
            [Listen(), Say(SPEECH), Listen(), HangUp()],
            key=key,
            start=rv.CallStart(call_id="killed", format=rv.LegFormat(codec=rv.CODEC_PCMU)),
            on_change=on_change,
        )
        call = asyncio.create_task(caller.call())
        for moment in (heard, spoken):
            waiting = asyncio.create_task(moment.wait())
            await asyncio.wait((call, waiting), return_when=asyncio.FIRST_COMPLETED)
            assert waiting.done(), call.result()
            pid = await asyncio.to_thread(_pid_of_session, node, "killed")
            os.kill(pid, signal.SIGKILL)
            pids.append(pid)
        return await call

    pids: list[int] = []
    outcome = asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    assert outcome.status == "OK", outcome.error
    assert len(set(pids)) == 2
    assert [text for who, text in outcome.transcript if who == "reception"][1:] == ["Certainly."]
    record = _ended(node, "killed")
    assert (record.end_reason, record.stats["moves"]) == ("caller_hangup", 0)
    assert [said.text for said in record.transcript if said.who == "reception"][1:] == [
        "Certainly."
    ]
    assert node.call("cost", "check") == []


MESSAGE = {"caller_name": "Ann", "phone_number": "+49301234567", "message": "Call me back."}


def test_a_tool_in_flight_when_its_session_dies_is_not_run_twice(
    node: Deployment, key: str, provider: ScriptedProvider
) -> None:
    """The message can't be kept while the database is locked; another session goes on."""
    path = node.settings.database_url.removeprefix("sqlite:///")

    async def scene() -> Any:
        greeted = asyncio.Event()
        caller = Caller(
            node.grpc_address,
            [Listen(), Until(locked.is_set), Say(SPEECH), Listen(), HangUp()],
            key=key,
            start=rv.CallStart(call_id="message", format=rv.LegFormat(codec=rv.CODEC_PCMU)),
            on_change=lambda outcome: greeted.set() if outcome.transcript else None,
        )
        call = asyncio.create_task(caller.call())
        await greeted.wait()
        with contextlib.closing(_connected(path)) as lock:
            await asyncio.to_thread(lock.execute, "BEGIN EXCLUSIVE")
            locked.set()
            await asyncio.to_thread(wait_until, lambda: _phase(node, "message") == "tool_running")
            before = await asyncio.to_thread(_sessions, node, "message")
            os.kill(await asyncio.to_thread(_pid_of_session, node, "message"), signal.SIGKILL)
            await asyncio.to_thread(
                wait_until, lambda: _sessions(node, "message"), lambda now: now and now != before
            )
            lock.execute("ROLLBACK")
        return await call

    locked = threading.Event()
    provider.script(Script(tool="take_message", tool_arguments=json.dumps(MESSAGE)))
    try:
        outcome = asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    finally:
        provider.script(Script())
    assert outcome.status == "OK", outcome.error
    assert _ended(node, "message").end_reason == "caller_hangup"
    kept = [message for message in node.messages() if message.call_id == "message"]
    assert [message.text for message in kept] == ["Call me back."]
    assert node.call("cost", "check") == []


def _connected(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, PATIENCE_S, isolation_level=None, check_same_thread=False)


def _phase(node: Deployment, call_id: str) -> str:
    record = node.call_record(call_id)
    return "" if record is None else record.phase


def test_a_call_outlives_a_session_that_stands_still(node: Deployment, key: str) -> None:
    async def scene() -> Any:
        call = await _talking(node, key, "frozen")
        pids.append(await asyncio.to_thread(_pid_of_session, node, "frozen"))
        os.kill(pids[0], signal.SIGSTOP)
        return await call

    pids: list[int] = []
    try:
        outcome = asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it was replaced
                os.kill(pid, signal.SIGCONT)
    assert outcome.status == "OK", outcome.error
    assert ("reception", "Certainly.") in outcome.transcript
    assert _ended(node, "frozen").end_reason == "caller_hangup"


def test_a_call_whose_sessions_all_die_ends_with_a_record(node: Deployment, key: str) -> None:
    async def scene() -> Any:
        accepted = asyncio.Event()
        caller = Caller(
            node.grpc_address,
            [StayOn()],
            key=key,
            start=rv.CallStart(call_id="cursed", format=rv.LegFormat(codec=rv.CODEC_PCMU)),
            on_change=lambda _: accepted.set(),
        )
        call = asyncio.create_task(caller.call())
        await accepted.wait()
        pids: set[int] = set()
        while len(pids) < 3 and not call.done():  # it may find no other session in time
            with contextlib.suppress(ValueError, RayActorError):
                pid = await asyncio.to_thread(_pid_of_session, node, "cursed")
                if pid not in pids:
                    pids.add(pid)
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.05)
        return await call

    outcome = asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    assert outcome.status == "INTERNAL"
    assert _ended(node, "cursed").end_reason == "internal"
    assert place(node, key, Listen(), HangUp()).status == "OK"


async def _talking(node: Deployment, key: str, call_id: str) -> asyncio.Task[Any]:
    """A call of which the caller has heard something, and has yet to speak."""
    heard = asyncio.Event()
    caller = Caller(
        node.grpc_address,
        [Listen(), Say(SPEECH), Listen(), HangUp()],
        key=key,
        start=rv.CallStart(call_id=call_id, format=rv.LegFormat(codec=rv.CODEC_PCMU)),
        on_change=lambda outcome: heard.set() if outcome.turns else None,
    )
    call = asyncio.create_task(caller.call())
    await heard.wait()
    return call


def _processes(kind: str) -> list[psutil.Process]:
    """The node's own; on this machine others may have some too."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[:1] and process.cmdline()[0].startswith(f"ray::{kind}"):
                found.append(process)
    return found


def _sessions(node: Deployment, call_id: str) -> list[str]:
    names = node.call("agent", "stats")["sessions"]
    return [session for session, call in names.items() if call == call_id]


def _pid_of_session(node: Deployment, call_id: str) -> int:
    [name] = _sessions(node, call_id)
    handle: Any = ray.get_actor(name, namespace="reception")
    pid: int = ray.get(handle.call.remote("warm_up", ()), timeout=PATIENCE_S)
    return pid


def test_a_caller_who_stays_away_is_settled(node: Deployment, cancelled: str) -> None:
    """Here, since so much time has passed by now."""
    assert _ended(node, cancelled).end_reason == "caller_vanished"


def test_a_call_outlives_every_audio_worker(node: Deployment, key: str) -> None:
    async def scene() -> Any:
        call = await _talking(node, key, "outlives")
        for process in _processes("AudioWorker"):
            process.kill()
        return await call

    outcome = asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    assert outcome.status == "OK", outcome.error
    record = _ended(node, "outlives")
    assert (record.end_reason, record.stats["moves"]) == ("caller_hangup", 1)
    assert ("reception", "Certainly.") in outcome.transcript


def test_before_the_provider_refuses_a_session_a_new_call_is_refused(
    node: Deployment, key: str
) -> None:
    """Live calls go on, and none of them hears of it."""

    async def scene() -> tuple[list[Any], Any]:
        calls: list[asyncio.Task[Any]] = []
        may_end = asyncio.Event()
        try:
            while len(calls) <= SESSIONS:
                heard = asyncio.Event()
                caller = Caller(
                    node.grpc_address,
                    [Listen(), Until(may_end.is_set), HangUp()],
                    key=key,
                    start=rv.CallStart(format=rv.LegFormat(codec=rv.CODEC_PCMU)),
                    on_change=partial(_set_once_heard, heard),
                )
                call = asyncio.create_task(caller.call())
                waiting = asyncio.create_task(heard.wait())
                await asyncio.wait((call, waiting), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if not call.done():
                    calls.append(call)
                elif "the provider's sessions" in (refused := call.result()).error:
                    break
        finally:
            may_end.set()
        return await asyncio.gather(*calls), refused

    before = node.call("health", "status")["provider"]["dials"]
    outcomes, refused = asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    assert 3 <= len(outcomes) < SESSIONS
    assert [outcome.status for outcome in outcomes] == ["OK"] * len(outcomes)
    assert refused.status == "RESOURCE_EXHAUSTED"
    after = node.call("health", "status")["provider"]["dials"]
    assert {name: after[name] for name in ("failed", "refused")} == {
        name: before[name] for name in ("failed", "refused")
    }
    assert place(node, key, Listen(), HangUp()).status == "OK"  # their places are free again


def _set_once_heard(heard: asyncio.Event, outcome: Outcome) -> None:
    if outcome.turns:
        heard.set()


def test_a_call_outlives_its_front_door(node: Deployment, key: str) -> None:
    """Killed with the call's stream; the caller comes back with the resume token."""

    async def back(token: str) -> tuple[Any, Any]:
        while True:
            channel = grpc.aio.insecure_channel(node.grpc_address)
            stream = rpc.ReceptionStub(channel).Converse(metadata=[("x-api-key", key)])
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await stream.write(rv.CallerMessage(start=rv.CallStart(resume_token=token)))
                return stream, await until(stream, "accepted")
            await channel.close()
            await asyncio.sleep(0.1)

    async def scene() -> None:
        [door] = _processes("FrontDoor")  # before: frames come while it is looked for
        channel = grpc.aio.insecure_channel(node.grpc_address)
        stream = rpc.ReceptionStub(channel).Converse(metadata=[("x-api-key", key)])
        begin = rv.CallStart(call_id="at-any-door", format=rv.LegFormat(codec=rv.CODEC_PCMU))
        await stream.write(rv.CallerMessage(start=begin))
        accepted = await until(stream, "accepted")
        before = await until(stream, "audio")
        door.kill()
        again, resumed = await back(accepted.resume_token)
        assert resumed.session_id == accepted.session_id
        after = await until(again, "audio")
        assert 0 < after.sequence - before.sequence < 60
        await again.write(rv.CallerMessage(end=rv.CallEnd(reason="normal_clearing")))
        assert (await until(again, "summary")).call.call_id == "at-any-door"

    asyncio.run(asyncio.wait_for(scene(), SCENE_S))
    assert _ended(node, "at-any-door").end_reason == "caller_hangup"
    assert place(node, key, Listen(), HangUp()).status == "OK"


def test_http_says_what_is_going_on(node: Deployment, key: str) -> None:
    def get(path: str, with_key: bool = True) -> tuple[int, str]:
        return ask(urllib.request.Request(node.http_url + path), with_key)

    def put(path: str, body: dict[str, Any], with_key: bool = True) -> tuple[int, str]:
        headers = {"content-type": "application/json"}
        data = json.dumps(body).encode()
        return ask(
            urllib.request.Request(node.http_url + path, data, headers, method="PUT"), with_key
        )

    def ask(request: urllib.request.Request, with_key: bool) -> tuple[int, str]:
        if with_key:
            request.add_header("x-api-key", key)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    assert get("/livez", with_key=False) == (200, "ok\n")
    assert get("/readyz", with_key=False) == (200, "ok\n")
    status, metrics = get("/metrics", with_key=False)
    assert status == 200
    assert "reception_calls_ended_total" in metrics
    status, body = get("/api/v3/management/status")
    assert status == 200
    assert json.loads(body)["node"]["node_id"] == node.node_id
    assert get("/api/v3/management/calls/one")[0] == 200
    status, body = get("/api/v3/management/calls/nobody")
    assert (status, json.loads(body)["status"]) == (404, 404)
    assert get("/api/v3/management/costs", with_key=False)[0] == 401
    assert put("/api/v3/management/audio/level", {"level": "fast"})[0] == 400
    status, body = put("/api/v3/management/audio/level", {"level": "economy"})
    assert (status, json.loads(body)["level"]) == (200, "economy")
    levels = wait_until(  # a worker that has just been killed comes back at it
        lambda: [
            each["level"]
            for each in json.loads(get("/api/v3/management/audio")[1])["workers"].values()
        ],
        lambda levels: len(levels) == 2 and set(levels) == {"economy"},
    )
    assert levels == ["economy"] * 2
    assert put("/api/v3/management/audio/level", {"level": "auto"})[0] == 200
    assert json.loads(get("/api/v3/management/audio")[1])["level"] == "auto"
    assert put("/api/v3/management/audio/level", {"level": "auto"}, with_key=False)[0] == 401
    limit = {"scope": "tenant:nobody", "window": "day", "micros": 1}
    assert put("/api/v3/management/budgets/limit", limit)[0] == 200
    status, body = put("/api/v3/management/budgets/limit", limit | {"window": "year"})
    assert (status, json.loads(body)["field"]) == (400, "window")
    assert "must be one of hour" in json.loads(body)["title"]
    status, body = get("/api/v3/management/report?by=call")
    assert "one" in [row["call_id"] for row in json.loads(body)["rows"]]
    assert "<title>ai-reception</title>" in get("/")[1]


def test_a_singleton_that_is_killed_comes_back_and_has_lost_nothing(
    node: Deployment, key: str
) -> None:
    before = node.snapshot()["costs"]["posted_micros"]
    [process] = _processes("CostController")
    process.kill()
    process.wait(PATIENCE_S)

    def posted() -> int | None:
        with contextlib.suppress(RayError):
            return int(node.snapshot()["costs"]["posted_micros"])
        return None

    assert wait_until(posted, lambda micros: micros is not None) == before > 0
    assert place(node, key, Listen(), HangUp()).status == "OK"


def test_of_all_these_calls_no_session_money_or_place_is_held(node: Deployment, key: str) -> None:
    """Nor of calls that never began: refused, or given up before they were accepted."""
    for number in range(5):
        refused = place(node, key, StayOn(), profile="nobody")
        assert refused.status == "INVALID_ARGUMENT"
        asyncio.run(asyncio.wait_for(_give_up(node, key, f"early-{number}"), SCENE_S))

    def held() -> tuple[int, ...]:
        found = node.snapshot()
        return len(found["calls"]), found["pool"]["leased"], found["costs"]["held_micros"]

    wait_until(held, lambda found: found == (0, 0, 0))
    assert node.call("cost", "check") == []


async def _give_up(node: Deployment, key: str, call_id: str) -> None:
    """A call that its caller cancels before it hears anything."""
    async with grpc.aio.insecure_channel(node.grpc_address) as channel:
        stream = rpc.ReceptionStub(channel).Converse(metadata=[("x-api-key", key)])
        begin = rv.CallStart(call_id=call_id, format=rv.LegFormat(codec=rv.CODEC_PCMU))
        await stream.write(rv.CallerMessage(start=begin))
        stream.cancel()


def test_a_drained_node_takes_no_more_calls_and_says_so(node: Deployment, key: str) -> None:
    assert node.drain(5.0) == 0
    outcome = asyncio.run(Caller(node.grpc_address, [StayOn()], key=key).call())
    assert outcome.status == "UNAVAILABLE"
    assert Path(node.node.folder).exists()
