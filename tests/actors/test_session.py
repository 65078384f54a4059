"""The session actor beside Ray: real links, real workers, a provider that the test steers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError

import actors.session
from actors import checkpoint
from actors.assignment import Assignment, ProviderConfig
from actors.call_run import CallRun
from actors.gossip import Listener
from actors.link import Link
from actors.session import CallSession
from actors.worker import AudioWorker
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call import messages as m
from reception.call.conversation import Conversation
from reception.call.progress import Progress, applied, decode
from reception.call.record import CallRecord
from reception.call.thrift import SHORT_ANSWER_S
from reception.call.transcript import Transcript
from reception.errors import ProtocolViolation, Unavailable
from reception.framing import Kind, split_audio
from reception.money.account import CallCost, Charge, Hold
from reception.money.bounds import tokens_to_say
from reception.money.leases import Claim
from reception.money.policy import Step
from reception.money.savings.comparison import Comparison, Measure
from reception.money.scopes import Owner
from tests.fakes.provider import FakeProvider, send, speak
from tests.unit.call.example import PROFILE, SPEC
from tests.waiting import PATIENCE_S, patience, until

ROOT = Path(__file__).resolve().parents[2]
WORDS = "The secret word is halibut."
NOT_IN_A_SESSION = {
    "ctranslate2", "fastapi", "faster_whisper", "grpc", "httpx", "numpy", "openai", "pydantic",
    "rich", "soxr", "sqlalchemy", "structlog", "webrtcvad", "websockets",
}  # fmt: skip


class FakeActor:
    """Stands for a handle: `await actor.method(args)`; a method is a function."""

    def __init__(self, **methods: Callable[..., Any]) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        return FakeMethod(self, name, self._methods[name])


class FakeMethod:
    def __init__(self, actor: FakeActor, name: str, function: Callable[..., Any]) -> None:
        self._actor, self._name, self._function = actor, name, function

    def __call__(self, *args: Any) -> Any:
        self._actor.calls.append((self._name, args))

        async def answer() -> Any:
            found = self._function(*args)
            return await found if asyncio.iscoroutine(found) else found

        return asyncio.ensure_future(answer())


class House:
    """Two workers, a provider, a session and the actors that it asks."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(actors.session, "find", self.find)
        self.provider = FakeProvider()
        self.workers = [AudioWorker(f"w{n}", str(folder / f"w{n}.sock")) for n in range(2)]
        self.sockets = [str(folder / f"w{n}.sock") for n in range(2)]
        self.cost = FakeActor(
            usage=lambda *_: Charge(5, 5, False),
            transcription=lambda *_: Charge(1, 6, False),
            close_call=lambda *_: CallCost(total_micros=6),
            would_have_cost=lambda *_: Comparison(5, 12, {Measure.ROUTING: 7, Measure.TEXT: 0}),
        )
        self.is_ours, self.unbilled_s = True, inf
        self.spec, self.format = SPEC, "pcmu"
        self.claim: Claim | None = None
        self.states: list[bytes] = []
        self.agent = FakeActor(
            save_message=lambda *_: None,
            another_worker=self._another,
            keep_state=lambda _, state: self.states.append(state),
            send_later=lambda _: None,
            owns=lambda _: self.is_ours,
        )
        self.progress_path = str(folder / "agent.sock")
        self.progress: list[Progress] = []
        self.listener = Listener(
            self.progress_path, lambda news: self.progress.append(decode(news))
        )
        self.session = CallSession("session:test", "node")
        self.other_worker = True
        self.lost = ""
        self.doors: list[Link] = []

    def find(self, name: str) -> FakeActor:
        return self.cost if name == "cost" else self.agent

    def _another(self, lease_id: str, lost: str) -> str:
        assert lease_id == SPEC.lease_id
        if not self.other_worker:
            raise Unavailable("no other worker")
        return next(socket for socket in self.sockets if socket not in (lost, self.lost))

    def assignment(self) -> Assignment:
        provider = ProviderConfig("embedded", self.provider.url, "m")
        spec = replace(self.spec, node_id="n", claim=self.claim)
        profile = replace(PROFILE, cheaper_model="mini")
        return Assignment(
            spec, profile, "m", self.sockets[0], provider, self.format, self.progress_path,
            unbilled_s=self.unbilled_s,
        )  # fmt: skip

    async def door(self, number: int = 0) -> Link:
        """The front door's link to a worker."""
        link = await Link.connect(self.sockets[number], PATIENCE_S)
        attach = lk.DoorAttach(call_id=SPEC.call_id, lease_id=SPEC.lease_id)
        link.send(lk.DoorToWorker(attach=attach))
        self.doors.append(link)
        return link

    async def answered(self) -> tuple[asyncio.Task[CallRecord], Link, Any]:
        """A running call, its door and the provider's side of its socket."""
        call = asyncio.create_task(self.session.run_call(self.assignment()))
        door = await self.door()
        async with patience():
            connection = await self.provider.connections.get()
        return call, door, connection

    async def told(self, event_type: str) -> dict[str, Any]:
        """The next client event of this type."""
        async with patience():
            while (event := await self.provider.received.get())["type"] != event_type:
                pass
        return event


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(tmp_path, monkeypatch)
    house.provider.url = await house.provider.start()
    for worker in house.workers:
        await worker.start()
    yield house
    for door in house.doors:
        await door.close()
    for worker in house.workers:
        await worker.stop()
    await house.provider.stop()
    house.listener.close()


@pytest.mark.parametrize("answer", ["pong", "unavailable", "lost", "never"])
async def test_it_is_rehearsed_also_while_nobody_can_tell_of_money(
    house: House, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(actors.session, "COST_S", 0.05)
    pinged = 0

    async def ping() -> dict[str, Any]:
        nonlocal pinged
        pinged += 1
        if answer == "unavailable":
            raise Unavailable("database: it is away")
        if answer == "lost":
            raise RayActorError
        if answer == "never":
            await asyncio.sleep(60)
        return {}

    house.cost._methods["ping"] = ping
    async with patience():
        await house.session.rehearse(house.assignment())
    assert pinged == 1


async def audio(door: Link) -> rv.Audio:
    """The next frame for the caller."""
    async with patience():
        while True:
            frame = await door.receive()
            assert frame is not None
            if frame[0] is Kind.AUDIO:
                message = rv.ReceptionMessage.FromString(split_audio(frame[1])[1])
                if message.HasField("audio"):
                    return message.audio


async def say(connection: Any, response: str, item: str, text: str, audio_ms: int = 400) -> None:
    """An answer whose audio is still coming."""
    await send(connection, "response.created", response={"id": response, "status": "in_progress"})
    await send(
        connection, "response.output_audio_transcript.done",
        response_id=response, item_id=item, transcript=text,
    )  # fmt: skip
    await speak(connection, item, b"\x01" * 8 * audio_ms)


def hang_up(door: Link) -> None:
    end = rv.CallerMessage(end=rv.CallEnd(reason="normal_clearing"))
    door.send_audio(0, end.SerializeToString())


async def test_a_call_from_ring_to_record(house: House) -> None:
    call, door, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", "Good day.")
    assert (await audio(door)).sequence == 1
    hang_up(door)
    record = await call
    assert record.state == "ended"
    assert record.end_reason == "caller_hangup"
    assert record.cost_micros == 6
    assert record.stats["frames_out"] >= 1
    saved = {name: n for name, n in record.stats.items() if name.startswith("saved_")}
    assert saved == {"saved_micros": 7, "saved_routing_micros": 7}
    assert [said.text for said in record.transcript] == ["Good day."]


async def test_an_answer_that_is_being_made_when_the_caller_hangs_up_is_billed(
    house: House,
) -> None:
    call, door, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", "Good day.")
    await audio(door)
    hang_up(door)
    await house.told("response.cancel")
    details = {"text_tokens": 1, "audio_tokens": 8, "cached_tokens": 0}
    usage = {"total_tokens": 18, "input_tokens": 9, "output_tokens": 9,
             "input_token_details": details, "output_token_details": details}  # fmt: skip
    done = {"id": "r0", "status": "cancelled", "usage": usage}
    await send(connection, "response.done", response=done)
    await call
    methods = [method for method, _ in house.cost.calls]
    assert methods[-3:] == ["usage", "close_call", "would_have_cost"]
    assert house.cost.calls[-3][1][1] == "r0"
    [answered], _ = house.cost.calls[-1][1]
    assert (answered.model, answered.asked_model, answered.usage.output_audio) == ("m", "m", 8)


async def messages(door: Link, kind: str) -> AsyncIterator[Any]:
    """What comes for the caller, of this kind."""
    while (frame := await door.receive()) is not None:
        if frame[0] is Kind.AUDIO:
            message = rv.ReceptionMessage.FromString(split_audio(frame[1])[1])
            if message.HasField(kind):
                yield getattr(message, kind)


async def test_a_call_saves_as_its_money_runs_out(house: House) -> None:
    """Told, made shorter and moved to the cheaper model, whose answers cost as that."""
    due = (Step.WARN, Step.SHORTEN, Step.CHEAPER)
    house.cost._methods["usage"] = lambda *_: Charge(5, 5, False, due)
    call, door, first = await house.answered()
    await house.told("response.create")
    await say(first, "r0", "i0", WORDS, audio_ms=100)
    usage = {"total_tokens": 1}
    done = {"id": "r0", "status": "completed", "usage": usage}
    await send(first, "response.done", response=done)
    told = messages(door, "budget")
    async with patience():
        kinds = [(await anext(told)).kind for _ in due]
        second = await house.provider.connections.get()
    assert kinds == [
        rv.BudgetStep.KIND_WARN, rv.BudgetStep.KIND_SHORTEN, rv.BudgetStep.KIND_CHEAPER,
    ]  # fmt: skip
    assert second.request is not None
    assert second.request.path.endswith("?model=mini")
    short = tokens_to_say(SHORT_ANSWER_S, text=False)
    updates = [(await house.told("session.update"))["session"] for _ in range(2)]
    assert updates[0] == {"type": "realtime", "max_output_tokens": short}
    assert updates[1]["max_output_tokens"] == short
    replayed = await house.told("conversation.item.create")
    assert replayed["item"]["content"][0]["text"] == WORDS
    await say(second, "r1", "i1", "Yes.", audio_ms=100)
    await send(second, "response.done", response=done | {"id": "r1"})
    async with patience():
        while len(billed(house)) < 2:
            await asyncio.sleep(0.01)
    hang_up(door)
    record = await call
    assert record.budget_steps == ("warn", "shorten", "cheaper")
    assert record.model == "mini"
    assert billed(house) == [("r0", "m"), ("r1", "mini")]


async def test_where_nobody_can_hold_the_money_the_full_model_is_not_used(house: House) -> None:
    def gone(*_: Any) -> bool:
        raise RayActorError

    house.cost._methods["change_model"] = gone
    call, door, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", "Good day.")
    await send(
        connection, "response.function_call_arguments.done",
        response_id="r0", item_id="i1", call_id="t1", name="use_full_model", arguments="{}",
    )  # fmt: skip
    await send(connection, "response.done", response={"id": "r0", "status": "completed"})
    told = await house.told("conversation.item.create")
    assert json.loads(told["item"]["output"])["ok"] is False
    assert ("change_model", (SPEC.session_id, "m")) in house.cost.calls
    hang_up(door)
    await call


def billed(house: House) -> list[tuple[str, str]]:
    return [(args[1], args[2]) for name, args in house.cost.calls if name == "usage"]


async def test_one_call_at_a_time(house: House) -> None:
    call, door, _ = await house.answered()
    with pytest.raises(ProtocolViolation):
        await house.session.run_call(house.assignment())
    hang_up(door)
    await call


async def test_the_agent_hears_how_a_call_gets_on(house: House) -> None:
    call, door, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", WORDS)
    await audio(door)
    theirs = CallRecord(SPEC, "connecting", "connecting", "m")
    async with patience():
        while not theirs.transcript:
            await asyncio.sleep(0.01)
            while house.progress:
                theirs = applied(theirs, house.progress.pop(0))
    assert (theirs.state, theirs.transcript[0].text) == ("active", WORDS)
    hang_up(door)
    await call


async def test_nothing_of_a_call_stays_in_its_session(house: House) -> None:
    call, door, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", WORDS)
    await audio(door)
    hang_up(door)
    record = await call
    assert record.transcript[0].text == WORDS
    del record, call
    house.agent.calls.clear()
    house.cost.calls.clear()
    await asyncio.sleep(0)
    gc.collect()
    left = [
        each for each in gc.get_objects() if isinstance(each, CallRun | Conversation | Transcript)
    ]
    assert left == []


async def test_a_call_goes_on_with_another_worker(house: House) -> None:
    call, door, connection = await house.answered()
    await house.told("response.create")
    await send(
        connection, "conversation.item.input_audio_transcription.completed",
        item_id="u0", content_index=0, transcript="Are you open?",
    )  # fmt: skip
    await say(connection, "r0", "i0", WORDS, audio_ms=2_000)
    first = await audio(door)
    await house.workers[0].stop()
    second_door = await house.door(1)
    async with patience():
        second = await house.provider.connections.get()
    replayed = await house.told("conversation.item.create")
    assert replayed["item"]["content"][0]["text"] == "Are you open?"
    await house.told("response.create")
    await say(second, "r1", "i1", "As I said.")
    assert (await audio(second_door)).sequence > first.sequence
    hang_up(second_door)
    record = await call
    assert (record.end_reason, record.stats["moves"]) == ("caller_hangup", 1)
    assert record.transcript[-1].text == "As I said."


async def test_the_next_session_of_the_provider_has_the_format_of_the_present_plan(
    house: House,
) -> None:
    """A call that began at quality dials again at economy, and again at quality."""
    house.spec, house.format = replace(SPEC, codec="l16", rate_hz=8_000), "pcm24k"

    async def told_format() -> str:
        given = (await house.told("session.update"))["session"]["audio"]
        kinds = {given[way]["format"]["type"] for way in ("input", "output")}
        return str(kinds.pop()) if len(kinds) == 1 else f"several: {kinds}"

    call, door, connection = await house.answered()
    assert await told_format() == "audio/pcm"
    await house.workers[0].set_level("economy", "k")
    await connection.close(1011, "broken")
    async with patience():
        connection = await house.provider.connections.get()
    assert await told_format() == "audio/pcmu"
    await house.workers[0].set_level("quality", "k")
    await connection.close(1011, "broken")
    async with patience():
        await house.provider.connections.get()
    assert await told_format() == "audio/pcm"
    hang_up(door)
    assert (await call).end_reason == "caller_hangup"


def says(door: Link, *numbers: int) -> None:
    """Frames of the caller's, with these numbers."""
    for number in numbers:
        heard = rv.CallerMessage(audio=rv.Audio(payload=b"\x01" * 160, sequence=number))
        door.send_audio(0, heard.SerializeToString())


async def heard(house: House, frames: int) -> None:
    """The session was told that so many came."""
    async with patience():
        while (run := house.session._run) is None or run._inbox.legs.all.get(
            "frames_in", 0
        ) < frames:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("lost", ["worker", "session, then worker", "node"])
async def test_the_record_adds_up_what_came_to_each_of_a_calls_workers(
    house: House, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr("actors.media_call.STATS_EVERY_S", 0.1)
    monkeypatch.setattr("actors.worker.LOOK_S", 0.05)
    monkeypatch.setattr("actors.call_news.KEEP_S", 0.05)
    call, door, connection = await house.answered()
    await house.told("response.create")
    says(door, 1, 2, 3, 8, 9)
    await heard(house, 5)
    await say(connection, "r0", "i0", WORDS, audio_ms=2_000)
    await audio(door)
    await send(connection, "input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    async with patience():  # the state after that is kept
        while not house.states or not any(checkpoint.loads(house.states[-1]).legs):
            await asyncio.sleep(0.01)
    if lost == "node":
        state = await node_lost(house, call)
        call = asyncio.create_task(house.session.carry_on(house.assignment(), state))
    else:
        if lost.startswith("session"):
            call.cancel()
            call = await goes_on(house, call, house.states[-1])
            await heard(house, 5)
        await house.workers[0].stop()
    door = await house.door(1)
    async with patience():
        await house.provider.connections.get()
    await house.told("response.create")
    says(door, 1, 2, 5)
    async with patience():
        while len(house.provider.audio) < (9 + 5) * 160:
            await asyncio.sleep(0.01)
    hang_up(door)
    record = await call
    assert record.stats["moves"] == 1
    assert record.stats["frames_in"] == 5 + 3
    assert record.stats["frames_lost"] == 4 + 2
    assert record.stats["caller_audio_ms"] == 20 * (9 + 5)
    assert record.stats["caller_mos_milli"] == 1_191  # the mean, by what each heard


async def node_lost(house: House, call: asyncio.Task[CallRecord]) -> bytes:
    """All of the call's node is gone once a state of it was kept, which is given back."""
    async with patience():
        while not house.states:
            await asyncio.sleep(0.05)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    await house.workers[0].stop()
    house.session = CallSession("session:elsewhere", "node")
    house.lost = house.sockets[0]
    return house.states[-1]


async def test_a_call_whose_node_is_lost_goes_on_elsewhere(house: House) -> None:
    """From the state that was kept last, on a clock of its own."""
    call, door, connection = await house.answered()
    await house.told("response.create")
    await send(
        connection, "conversation.item.input_audio_transcription.completed",
        item_id="u0", content_index=0, transcript="Are you open?",
    )  # fmt: skip
    await say(connection, "r0", "i0", WORDS, audio_ms=2_000)
    first = await audio(door)
    state = await node_lost(house, call)
    call = asyncio.create_task(house.session.carry_on(house.assignment(), state))
    second_door = await house.door(1)
    async with patience():
        second = await house.provider.connections.get()
    replayed = await house.told("conversation.item.create")
    assert replayed["item"]["content"][0]["text"] == "Are you open?"
    await house.told("response.create")
    await say(second, "r1", "i1", "As I said.")
    assert (await audio(second_door)).sequence > first.sequence
    hang_up(second_door)
    record = await call
    assert (record.end_reason, record.stats["moves"]) == ("caller_hangup", 1)
    assert record.transcript[-1].text == "As I said."


def over(state: bytes) -> bytes:
    """The state of a call, had it just been ended."""
    found = checkpoint.loads(state)
    conversation = Conversation(SPEC, PROFILE, "m", "pcmu", rng=random.Random(1))
    conversation.resume(found.conversation, 0)
    conversation.handle(m.EndRequested("operator", polite=False), time.monotonic())
    return checkpoint.dumps(replace(found, conversation=conversation.checkpoint()))


async def summary(door: Link) -> rv.CallSummary:
    """What the caller is told at the end."""
    async with patience():
        while True:
            frame = await door.receive()
            assert frame is not None
            if frame[0] is not Kind.AUDIO:
                continue
            message = rv.ReceptionMessage.FromString(split_audio(frame[1])[1])
            if message.HasField("summary"):
                return message.summary


async def test_the_caller_of_a_lost_node_hears_that_the_call_is_over(house: House) -> None:
    """It was being ended there: at the next node it never has a provider."""
    call, _, _ = await house.answered()
    state = over(await node_lost(house, call))
    call = asyncio.create_task(house.session.carry_on(house.assignment(), state))
    door = await house.door(1)
    assert (await summary(door)).call.end_reason == "operator"
    assert (await call).end_reason == "operator"
    assert house.provider.connections.empty()


@pytest.mark.parametrize("ours", [True, False])
async def test_a_call_that_another_node_has_is_not_settled_here(house: House, ours: bool) -> None:
    house.is_ours = ours
    call, door, _ = await house.answered()
    door.send(lk.DoorToWorker(leg_gone=lk.LegGone(reason="caller_vanished")))
    assert (await call).end_reason == "caller_vanished"
    assert ("close_call" in [name for name, _ in house.cost.calls]) == ours


async def goes_on(
    house: House, call: asyncio.Task[CallRecord], state: bytes = b""
) -> asyncio.Task[CallRecord]:
    """The call's session is gone; another one takes it over."""
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    house.session = CallSession("session:other", "node")
    told = CallRecord(SPEC, "active", "speaking", "m")
    return asyncio.create_task(house.session.take_over(house.assignment(), told, state))


async def test_another_session_goes_on_where_one_died(house: House) -> None:
    call, door, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", WORDS, audio_ms=1_000)
    first = await audio(door)
    call = await goes_on(house, call)
    await send(
        connection, "response.done",
        response={"id": "r0", "status": "completed", "usage": {"total_tokens": 1}},
    )  # fmt: skip
    heard = [(await audio(door)).sequence for _ in range(49)]
    assert heard == list(range(first.sequence + 1, first.sequence + 50))
    await asyncio.sleep(0.3)  # it is played
    await send(connection, "input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    await send(connection, "input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=900)
    await say(connection, "r1", "i1", "As I said.")
    async with patience():
        while (await audio(door)).item_id != "i1":
            pass
    assert house.provider.open == 1
    hang_up(door)
    record = await call
    assert record.end_reason == "caller_hangup"
    assert [said.text for said in record.transcript if said.text] == [WORDS, "As I said."]
    # r1 was under way when the caller hung up, and its end never came: our own count.
    assert [args[1] for name, args in house.cost.calls if name == "usage"] == ["r0", "r1"]


async def test_a_session_that_dies_at_once_leaves_the_whole_call_to_the_next(house: House) -> None:
    call, door, connection = await house.answered()
    call = await goes_on(house, call)
    await house.told("response.create")
    await say(connection, "r0", "i0", "Good day.")
    await audio(door)
    hang_up(door)
    assert [said.text for said in (await call).transcript] == ["Good day."]


async def test_a_message_is_kept_once_though_its_session_dies_meanwhile(house: House) -> None:
    call, door, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", "Good day.")
    kept = house.agent._methods["save_message"]
    never: asyncio.Future[None] = asyncio.Future()
    house.agent._methods["save_message"] = lambda *_: never
    await send(connection, "response.created", response={"id": "r1", "status": "in_progress"})
    await send(
        connection, "response.function_call_arguments.done",
        response_id="r1", item_id="f1", call_id="tool1", name="take_message",
        arguments=json.dumps({"for_whom": "Sales", "message": "Call me", "caller_name": "Ann",
                              "phone_number": "+49301234567"}),
    )  # fmt: skip
    async with patience():
        while not house.agent.calls:
            await asyncio.sleep(0.01)
    house.agent._methods["save_message"] = kept
    call = await goes_on(house, call)
    await send(connection, "response.done", response={"id": "r1", "status": "completed"})
    result = await house.told("conversation.item.create")
    assert result["item"]["type"] == "function_call_output"
    saved = [args for name, args in house.agent.calls if name == "save_message"]
    assert len(saved) == 2
    assert saved[0] == saved[1]  # the same message, by which the store tells them apart
    hang_up(door)
    assert len((await call).messages) == 1


def phase_in(state: bytes) -> str:
    return str(checkpoint.loads(state).conversation["state"])


async def test_a_call_that_its_worker_has_given_up_goes_on_from_what_its_node_kept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.call_news.KEEP_S", 0.05)
    call, door, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", "Good day.")
    await send(connection, "response.done", response={"id": "r0", "status": "completed"})
    last = [(await audio(door)).sequence for _ in range(20)][-1]
    async with patience():
        while not house.states or phase_in(house.states[-1]) != "listening":
            await asyncio.sleep(0.01)
    call.cancel()
    await house.workers[0].give_up(SPEC.lease_id)
    door = await house.door()  # the caller is back
    call = await goes_on(house, call, house.states[-1])
    async with patience():
        connection = await house.provider.connections.get()
    replayed = await house.told("conversation.item.create")
    assert "Good day." in json.dumps(replayed)
    await send(connection, "input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    await send(connection, "input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=500)
    await say(connection, "r1", "i1", "Yes?")
    assert (await audio(door)).sequence > last
    hang_up(door)
    record = await call
    assert record.end_reason == "caller_hangup"
    assert [said.text for said in record.transcript][:1] == ["Good day."]
    assert record.stats["moves"] == 1


async def test_where_the_call_is_gone_too_there_is_a_record(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.call_run.TAKE_OVER_TIMEOUT_S", 0.2)
    told = CallRecord(SPEC, "active", "speaking", "m")
    record = await asyncio.wait_for(
        house.session.take_over(house.assignment(), told, b""), PATIENCE_S
    )
    assert (record.state, record.end_reason) == ("ended", "internal")


async def test_without_another_worker_the_call_ends_with_a_record(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.call_worker.MOVE_TIMEOUT_S", 0.2)
    monkeypatch.setattr("actors.call_end.STATS_TIMEOUT_S", 0.2)
    call, _, _ = await house.answered()
    await house.told("response.create")
    house.other_worker = False
    await house.workers[0].stop()
    record = await asyncio.wait_for(call, PATIENCE_S)
    assert (record.state, record.end_reason) == ("ended", "internal")
    assert ("close_call", (SPEC.session_id,)) in house.cost.calls


def test_a_session_imports_only_what_control_needs() -> None:
    program = "import sys, actors.session; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert NOT_IN_A_SESSION & set(done.stdout.split()) == set()


async def owing(house: House, unbilled_s: float) -> tuple[asyncio.Task[CallRecord], Any, Link]:
    """A call whose greeting can't be billed."""

    def gone(*_: Any) -> Charge:
        raise RayActorError

    house.cost._methods["usage"] = gone
    house.unbilled_s = unbilled_s
    call, door, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", "Good day.", audio_ms=100)
    done = {"id": "r0", "status": "completed", "usage": {"total_tokens": 1}}
    await send(connection, "response.done", response=done)
    async with patience():
        while not [name for name, _ in house.agent.calls if name == "send_later"]:
            await asyncio.sleep(0.01)
    return call, connection, door


async def test_a_call_that_nobody_can_bill_ends_politely_after_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.call_money.BILL_TRIES", 1)
    call, connection, _ = await owing(house, 0.2)
    goodbye = await house.told("conversation.item.create")
    assert PROFILE.phrases.goodbye in json.dumps(goodbye)
    await say(connection, "r1", "i1", "Goodbye.", audio_ms=100)
    await send(connection, "response.done", response={"id": "r1", "status": "completed"})
    assert (await call).end_reason == "budget"


async def test_a_call_that_is_billed_again_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.call_money.BILL_TRIES", 1)
    call, connection, door = await owing(house, PATIENCE_S)
    assert house.session._run
    money = house.session._run._money
    assert money._owing
    house.cost._methods["usage"] = lambda *_: Charge(5, 5, False)
    await say(connection, "r1", "i1", "Yes.", audio_ms=100)
    done = {"id": "r1", "status": "completed", "usage": {"total_tokens": 1}}
    await send(connection, "response.done", response=done)
    await until(lambda: not money._owing)  # which would have ended the call
    hang_up(door)
    assert (await call).end_reason == "caller_hangup"


async def test_a_call_in_which_nobody_speaks_goes_on_once_its_bill_is_taken(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.call_money.BILL_TRIES", 1)
    monkeypatch.setattr("actors.call_money.AGAIN_S", (0.05, 0.1))
    call, _, door = await owing(house, PATIENCE_S)
    assert house.session._run
    money = house.session._run._money
    owed = money._owing
    assert isinstance(owed, asyncio.TimerHandle)
    house.cost._methods["usage"] = lambda *_: Charge(5, 5, False)
    await until(owed.cancelled)  # which would have ended the call
    assert money._owing is None
    assert money.cost_micros == 5
    hang_up(door)
    assert (await call).end_reason == "caller_hangup"


async def test_a_call_on_a_lease_ends_when_its_lease_does_whatever_is_owed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.call_money.BILL_TRIES", 1)

    def gone(_: Claim) -> Hold:
        raise RayActorError

    house.claim, house.cost._methods["claim"] = CLAIM, gone
    call, _, door = await owing(house, 0.2)
    assert house.session._run
    timer = house.session._run._money._owing
    assert isinstance(timer, asyncio.TimerHandle)
    left_s = timer.when() - asyncio.get_running_loop().time()
    assert 0.2 < left_s <= 30.0
    hang_up(door)
    assert (await call).end_reason == "caller_hangup"


CLAIM = Claim(Owner(SPEC.session_id, model="m"), "lease:d:1", 5, 1, 30.0)


async def test_a_call_that_began_on_a_lease_is_claimed_until_it_ends(house: House) -> None:
    """Again and again until it is answered, and with every bill."""
    answers: Any = iter([RayActorError(), RayActorError(), Hold(True)])

    def claimed(_: Claim) -> Hold:
        answer = next(answers)
        if isinstance(answer, Hold):
            return answer
        raise answer

    house.claim = CLAIM
    house.cost._methods["claim"] = claimed
    call, door, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", "Good day.", audio_ms=100)
    done = {"id": "r0", "status": "completed", "usage": {"total_tokens": 1}}
    await send(connection, "response.done", response=done)
    async with patience():
        while len([name for name, _ in house.cost.calls if name in ("claim", "usage")]) < 4:
            await asyncio.sleep(0.01)
    hang_up(door)
    assert (await call).end_reason == "caller_hangup"
    told = [args for name, args in house.cost.calls if name != "would_have_cost"]
    assert all(CLAIM in args for args in told)


@pytest.mark.parametrize("answers", [True, False])
async def test_a_call_for_which_nothing_is_held_ends_politely(house: House, answers: bool) -> None:
    """The ledger has nothing for it, or does not answer in time."""

    def refused(_: Claim) -> Hold:
        if answers:
            return Hold(False, "the budget is used up")
        raise RayActorError

    house.claim = replace(CLAIM, alone_s=60.0 if answers else 1.5)
    house.cost._methods["claim"] = refused
    if not answers:  # a bill that is taken tells the ledger of the call as well
        house.cost._methods["usage"] = refused
    call, _, connection = await house.answered()
    await house.told("response.create")
    await say(connection, "r0", "i0", "Good day.", audio_ms=100)
    await send(connection, "response.done", response={"id": "r0", "status": "completed"})
    goodbye = await house.told("conversation.item.create")
    while PROFILE.phrases.goodbye not in json.dumps(goodbye):
        goodbye = await house.told("conversation.item.create")
    await say(connection, "r1", "i1", "Goodbye.", audio_ms=100)
    await send(connection, "response.done", response={"id": "r1", "status": "completed"})
    assert (await call).end_reason == "budget"
