"""The front door over real gRPC, with a real audio worker and a real provider socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import inf
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from actors.pulse import Pulse
from cluster.door_config import DoorConfig
from cluster.front_door import SERVICE, FrontDoor, converse
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from reception.errors import InvalidRequest, LimitReached, Unavailable
from reception.money.account import Hold
from reception.money.scopes import Owner
from reception.placement.admission.answer import Admitted, Cause, Refused
from reception.placement.admission.priority import Priority
from reception.placement.turnstile import TurnstileRules
from reception.security.admission import Admission
from tests.fakes.backends import FakeBackends, worker_at
from tests.fakes.provider import FakeProvider, speak
from tests.waiting import PATIENCE_S, patience

FRAME = b"\x01" * 160
LONG_S = 10 * PATIENCE_S  # what lasts so long is not waited for
PCMU = rv.LegFormat(codec=rv.CODEC_PCMU)


def caller(**fields: Any) -> rv.CallerMessage:
    return rv.CallerMessage(**fields)


def start(**fields: Any) -> rv.CallerMessage:
    return caller(start=rv.CallStart(**({"format": PCMU} | fields)))


@dataclass
class House:
    door: FrontDoor
    backends: FakeBackends
    provider: FakeProvider
    channel: grpc.aio.Channel
    worker: Any

    @property
    def stub(self) -> Any:
        return rpc.ReceptionStub(self.channel)

    async def converse(self, *messages: rv.CallerMessage) -> Any:
        stream = self.stub.Converse(metadata=(("x-api-key", "secret"),))
        for message in messages:
            await stream.write(message)
        return stream

    async def accepted(self, **fields: Any) -> Any:
        stream = await self.converse(start(**fields))
        message = await asyncio.wait_for(stream.read(), PATIENCE_S)
        assert message.HasField("accepted"), message
        return stream


@pytest.fixture
def idle_timeout_s() -> float:
    return LONG_S


@pytest.fixture
def attach_timeout_s() -> float:
    return LONG_S


@pytest.fixture
def turnstile() -> TurnstileRules:
    return TurnstileRules()


@pytest.fixture
async def house(
    tmp_path: Any, idle_timeout_s: float, attach_timeout_s: float, turnstile: TurnstileRules
) -> AsyncIterator[House]:
    provider = FakeProvider()
    url = await provider.start()
    path = str(tmp_path / "w.sock")
    worker = await worker_at(path)
    backends = FakeBackends(path, url)
    config = DoorConfig("127.0.0.1", 0, "n1", idle_timeout_s, attach_timeout_s, turnstile=turnstile)
    door = FrontDoor(config, backends)
    address = await door.start()
    before = asyncio.all_tasks()
    async with grpc.aio.insecure_channel(address) as channel:
        yield House(door, backends, provider, channel, worker)
        await channel.close()  # with what a test leaves open
        await backends.until_quiet()
        async with patience():  # every stream's tasks are gone
            while (await door.stats())["live"] or (await worker.stats())["live"]:
                await asyncio.sleep(0.01)
    await door.stop()
    await worker.stop()
    await provider.stop()
    async with patience():
        while len(asyncio.all_tasks()) > len(before):
            await asyncio.sleep(0.01)


async def failure(stream: Any) -> tuple[grpc.StatusCode, str, list[Any]]:
    """The status a stream ended with, its sentence, its details unpacked."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(_to_the_end(stream), PATIENCE_S)
    return details_of(caught.value)


async def until(stream: Any, kind: str) -> Any:
    """The next message of this kind."""
    async with patience():
        while True:
            message = await stream.read()
            assert message is not grpc.aio.EOF
            if message.HasField(kind):
                return getattr(message, kind)


async def _to_the_end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


def details_of(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str, list[Any]]:
    status = rpc_status.from_call(error)
    known = {
        kind.DESCRIPTOR.full_name: kind
        for kind in (
            error_details_pb2.BadRequest,
            error_details_pb2.RetryInfo,
            error_details_pb2.QuotaFailure,
        )
    }
    details = []
    for packed in status.details if status else ():
        detail = known[packed.type_url.rpartition("/")[2]]()
        packed.Unpack(detail)
        details.append(detail)
    assert "Traceback" not in (error.details() or "")
    return error.code(), error.details() or "", details


def field_of(details: list[Any]) -> str:
    return str(details[0].field_violations[0].field)


# ------------------------------------------------------------------ a good call


async def test_a_call_is_accepted_relayed_both_ways_and_summed_up(house: House) -> None:
    stream = await house.converse(start(call_id="c1", metadata={"a": "b"}))
    accepted = (await stream.read()).accepted
    assert (accepted.call_id, accepted.node_id, accepted.profile) == ("c1", "n1", "p")
    assert (accepted.format.rate_hz, accepted.format.ptime_ms) == (8_000, 20)
    assert len(accepted.resume_token) >= 24
    assert house.backends.credentials == ["secret"]
    connection = await house.provider.connections.get()
    for number in range(1, 11):
        await stream.write(caller(audio=rv.Audio(payload=FRAME, sequence=number)))
    await speak(connection, "i1", FRAME * 3)
    frames = [(await stream.read()).audio for _ in range(3)]
    assert [frame.payload for frame in frames] == [FRAME] * 3
    async with patience():
        while len(house.provider.audio) < 1600:
            await asyncio.sleep(0.001)
    await stream.write(caller(end=rv.CallEnd(reason="bye")))
    await stream.done_writing()
    assert (await stream.read()).summary.call.call_id == "c1"
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK
    stats = await house.door.stats()
    assert stats["accepted"] == 1
    assert stats["setup_p50_ms"] > 0


@pytest.mark.parametrize("closes", [True, False])
async def test_the_stream_ends_once_the_caller_is_done_writing_or_soon(
    house: House, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    """A client whose write fails as its stream ends is not given what it has not read."""
    monkeypatch.setattr(converse, "HALF_CLOSE_S", LONG_S if closes else 0.2)
    stream = await house.accepted()
    await stream.write(rv.CallerMessage(end=rv.CallEnd(reason="normal_clearing")))
    await until(stream, "summary")
    end = asyncio.ensure_future(stream.read())
    if closes:
        await asyncio.wait([end], timeout=0.1)
        assert not end.done()
        await stream.done_writing()
    assert await asyncio.wait_for(end, PATIENCE_S) is grpc.aio.EOF


async def test_a_call_without_an_id_gets_one(house: House) -> None:
    stream = await house.converse(start())
    assert (await stream.read()).accepted.call_id.startswith("call-")
    stream.cancel()


async def test_bearer_tokens_are_credentials_too(house: House) -> None:
    stream = house.stub.Converse(metadata=(("authorization", "Bearer abc"),))
    await stream.write(start())
    assert (await stream.read()).HasField("accepted")
    assert house.backends.credentials == ["abc"]
    stream.cancel()


# ------------------------------------------------------------------ bad first messages


@pytest.mark.parametrize(
    ("message", "field", "says"),
    [
        (caller(audio=rv.Audio(payload=FRAME)), "start", "must be CallStart, not audio"),
        (caller(), "start", "an empty one"),
        (start(format=rv.LegFormat()), "start.format.codec", "not one of PCMU, PCMA, L16, OPUS"),
        # a value that the types forbid
        (start(format=rv.LegFormat(codec=99)), "start.format.codec", "'99'"),  # type: ignore[arg-type]
        (
            start(format=rv.LegFormat(codec=rv.CODEC_PCMU, rate_hz=44_100)),
            "start.format.rate_hz",
            "44100 is not one of 8000",
        ),
        (
            start(format=rv.LegFormat(codec=rv.CODEC_L16, rate_hz=11_025)),
            "start.format.rate_hz",
            "11025",
        ),
        (start(call_id="no spaces"), "start.call_id", "1 to 128"),
        (start(direction=7), "start.direction", "7 is not 0 to 2"),
        (start(metadata={"k": "v" * (1 << 20)}), "start.metadata", "over 4096"),
        (start(to="x" * 300), "start.to", "300 bytes, over 256"),
    ],
)
async def test_a_bad_first_message_is_refused_by_its_field(
    house: House, message: rv.CallerMessage, field: str, says: str
) -> None:
    code, text, details = await failure(await house.converse(message))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert says in text
    assert field_of(details) == field
    assert house.backends.opened == []


async def test_an_opus_leg_is_accepted_as_it_asks(house: House) -> None:
    opus = rv.LegFormat(codec=rv.CODEC_OPUS, rate_hz=48_000, ptime_ms=40)
    stream = await house.converse(start(format=opus))
    message = await asyncio.wait_for(stream.read(), PATIENCE_S)
    assert message.accepted.format == opus


async def test_an_unknown_resume_token_is_not_found(house: House) -> None:
    code, _, details = await failure(await house.converse(start(resume_token="x")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert field_of(details) == "start.resume_token"


async def test_a_caller_whose_stream_broke_goes_on_with_the_call(house: House) -> None:
    house.worker._resume_wait_s = LONG_S
    stream = await house.converse(start(call_id="back"))
    accepted = await until(stream, "accepted")
    connection = await asyncio.wait_for(house.provider.connections.get(), PATIENCE_S)
    began_s = time.monotonic()
    await speak(connection, "i1", FRAME * 1_000)
    first = await until(stream, "audio")
    stream.cancel()
    spoken = (time.monotonic() - began_s) * 50  # frames at most, but for the lead
    await asyncio.sleep(0.5)
    again = await house.converse(caller(start=rv.CallStart(resume_token=accepted.resume_token)))
    resumed = await until(again, "accepted")
    assert (resumed.call_id, resumed.session_id) == ("back", accepted.session_id)
    assert resumed.format == accepted.format
    assert resumed.resume_token not in ("", accepted.resume_token)
    async with patience():
        while house.backends.told_tokens != [(resumed.session_id, resumed.resume_token)]:
            await asyncio.sleep(0.01)
    assert first.sequence < (await until(again, "audio")).sequence < spoken + 20
    assert len(house.backends.opened) == 1  # the money is held already
    used = await house.converse(caller(start=rv.CallStart(resume_token=accepted.resume_token)))
    code, _, details = await failure(used)
    assert (code, field_of(details)) == (grpc.StatusCode.NOT_FOUND, "start.resume_token")
    await again.write(caller(end=rv.CallEnd(reason="normal_clearing")))
    await until(again, "summary")
    await house.backends.until_quiet()


async def test_a_door_that_stood_still_goes_back_to_the_worker_that_gave_it_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked for another worker: there is none here."""
    house.worker._resume_wait_s = LONG_S
    stream = await house.accepted(call_id="woken")
    connection = await asyncio.wait_for(house.provider.connections.get(), PATIENCE_S)
    await speak(connection, "i1", FRAME * 5)
    first = await until(stream, "audio")
    monkeypatch.setattr(Pulse, "held_up", lambda _: True)
    [call] = house.worker._calls.values()
    call._door._door.abort()
    await speak(connection, "i2", FRAME * 5)
    while (audio := await until(stream, "audio")).item_id != "i2":
        assert audio.sequence > first.sequence
        await stream.write(caller(audio=rv.Audio(payload=FRAME)))
    await stream.write(caller(end=rv.CallEnd(reason="normal_clearing")))
    await until(stream, "summary")


async def test_a_door_that_was_awake_asks_for_another_worker(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converse.Stream, "_held_up", lambda _: False)  # this test may be
    house.worker._resume_wait_s = 0.1
    stream = await house.accepted(call_id="awake")
    [call] = house.worker._calls.values()
    call._door._door.abort()
    code, text, _ = await failure(stream)
    assert (code, text) == (grpc.StatusCode.UNAVAILABLE, "the call's audio worker is gone")


async def test_a_resume_token_that_is_too_long_is_refused(house: House) -> None:
    stream = await house.converse(caller(start=rv.CallStart(resume_token="x" * 513)))
    code, _, details = await failure(stream)
    assert (code, field_of(details)) == (grpc.StatusCode.INVALID_ARGUMENT, "start.resume_token")


async def test_bytes_that_are_no_message_are_refused(house: House) -> None:
    raw: Any = house.channel.stream_stream(f"/{SERVICE}/Converse")
    stream = raw()
    await stream.write(b"\xff\xff\xff")
    code, text, _ = await failure(stream)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "no valid CallerMessage" in text


async def test_a_stream_that_ends_before_it_starts(house: House) -> None:
    stream = await house.converse()
    await stream.done_writing()
    code, text, _ = await failure(stream)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "ended before CallStart" in text


@pytest.mark.parametrize("idle_timeout_s", [0.2])
async def test_a_half_open_stream_is_timed_out(house: House) -> None:
    code, text, _ = await failure(await house.converse())
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "0.2 s" in text


# ------------------------------------------------------------------ bad later messages


@pytest.mark.parametrize(
    ("messages", "field", "says"),
    [
        ([caller(audio=rv.Audio(payload=b"x" * 8001))], "audio.payload", "over 8000 (1 s)"),
        ([caller(audio=rv.Audio())], "audio.payload", "is empty"),
        (
            [
                caller(audio=rv.Audio(payload=FRAME, sequence=5)),
                caller(audio=rv.Audio(payload=FRAME, sequence=4)),
            ],
            "audio.sequence",
            "4 is not over 5",
        ),
        ([start()], "start", "only once"),
        ([caller(dtmf=rv.Dtmf(digits="x"))], "dtmf.digits", "'x'"),
        ([caller(event=rv.CallEvent())], "event.kind", "0 is not 1 to 4"),
        ([caller(mark=rv.Mark(name="m" * 65))], "mark.name", "over 64"),
        ([caller()], "message", "is empty"),
    ],
)
async def test_a_bad_message_ends_its_own_call_and_no_other(
    house: House, messages: list[rv.CallerMessage], field: str, says: str
) -> None:
    other = await house.accepted(call_id="other")
    stream = await house.accepted(call_id="bad")
    for message in messages:
        await stream.write(message)
    code, text, details = await failure(stream)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert says in text
    assert field_of(details) == field
    assert house.backends.refused == [field]
    await other.write(caller(end=rv.CallEnd()))
    assert (await other.read()).HasField("summary")


async def test_l16_with_half_a_sample_is_refused(house: House) -> None:
    stream = await house.accepted(format=rv.LegFormat(codec=rv.CODEC_L16, rate_hz=16_000))
    await stream.write(caller(audio=rv.Audio(payload=b"x" * 641)))
    code, text, _ = await failure(stream)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "an odd number" in text


async def test_audio_after_the_end_is_refused(house: House) -> None:
    stream = await house.accepted()
    await stream.write(caller(end=rv.CallEnd()))
    await stream.write(caller(audio=rv.Audio(payload=FRAME)))
    seen = []
    try:
        while (message := await asyncio.wait_for(stream.read(), PATIENCE_S)) is not grpc.aio.EOF:
            seen.append(message.WhichOneof("message"))
    except grpc.aio.AioRpcError as error:
        code, text, _ = details_of(error)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "nothing may follow" in text
    else:  # the call was over before the audio came
        assert seen == ["summary"]


@pytest.mark.parametrize("idle_timeout_s", [2.0])
async def test_a_silent_caller_is_timed_out_unless_on_hold(house: House) -> None:
    on_hold = await house.accepted(call_id="hold")
    await on_hold.write(caller(event=rv.CallEvent(kind=rv.CallEvent.KIND_HOLD)))
    silent = await house.accepted(call_id="silent")
    code, text, _ = await failure(silent)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "nothing received" in text
    await asyncio.sleep(0.7)  # longer than the bound
    assert "hold" in house.backends.live
    on_hold.cancel()


# ------------------------------------------------------------------ refusals of others


@pytest.mark.parametrize(
    ("admission", "code"),
    [
        (Admission(False, code="unauthenticated", message="no"), grpc.StatusCode.UNAUTHENTICATED),
        (
            Admission(False, code="permission_denied", message="no"),
            grpc.StatusCode.PERMISSION_DENIED,
        ),
    ],
)
async def test_a_key_that_is_refused(
    house: House, admission: Admission, code: grpc.StatusCode
) -> None:
    house.backends.admission = admission
    assert (await failure(await house.converse(start())))[0] is code
    assert house.backends.opened == []


@pytest.mark.parametrize(("priority", "exempt"), [("normal", False), ("emergency", True)])
async def test_money_is_held_for_the_call_as_it_is(
    house: House, priority: str, exempt: bool
) -> None:
    stream = await house.converse(
        start(call_id="c1", to="tel:+4930", metadata={"priority": priority})
    )
    accepted = await until(stream, "accepted")
    assert house.backends.owners == [
        Owner(accepted.session_id, "c1", "t", "k", "m", "tel:+4930", "p", exempt=exempt)
    ]
    await stream.write(caller(end=rv.CallEnd(reason="normal_clearing")))


@pytest.mark.parametrize("said", [{}, {"priority": "batch", "queue": "1"}, {"priority": "?"}])
async def test_a_call_to_a_number_of_emergencies_is_one_whatever_it_says(
    house: House, said: dict[str, str]
) -> None:
    house.backends.emergency_numbers = ("112",)
    stream = await house.converse(start(call_id="c1", to="112", metadata=said))
    accepted = await until(stream, "accepted")
    assert house.backends.owners[0].exempt
    assert house.backends.rooms_asked == [(accepted.session_id, Priority.EMERGENCY)]
    assert house.backends.live["c1"].spec.metadata == said | {"priority": "emergency"}
    await stream.write(caller(end=rv.CallEnd(reason="normal_clearing")))


@pytest.mark.parametrize(
    ("refused", "held", "answers"),
    [((), ["full"], "full"), (("full",), ["full", "m"], "m"), (("full", "m"), ["full", "m"], "")],
)
async def test_a_call_that_asks_for_the_full_model_has_it_if_the_money_is_there(
    house: House, refused: tuple[str, ...], held: list[str], answers: str
) -> None:
    house.backends.holds = dict.fromkeys(refused, Hold(False, "the hour's budget is used up"))
    stream = await house.converse(start(call_id="c1", full_model=True))
    if answers:
        await until(stream, "accepted")
        assert house.backends.live["c1"].spec.full_model == (answers == "full")
        await stream.write(caller(end=rv.CallEnd(reason="normal_clearing")))
    else:
        assert (await failure(stream))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert [owner.model for owner in house.backends.owners] == held
    assert len(set(house.backends.opened)) == 1


async def test_an_unknown_priority_is_refused_before_money_is_held(house: House) -> None:
    stream = await house.converse(start(metadata={"priority": "royal"}))
    code, _, details = await failure(stream)
    assert (code, field_of(details)) == (grpc.StatusCode.INVALID_ARGUMENT, "start.metadata")
    assert house.backends.owners == []


async def test_a_rate_limit_says_when_to_try_again(house: House) -> None:
    house.backends.admission = Admission(
        False, code="rate_limited", message="60 a minute", retry_after_s=1.5
    )
    code, text, details = await failure(await house.converse(start()))
    assert (code, text) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "60 a minute")
    assert details[0].retry_delay.ToMilliseconds() == 1_500
    assert details[1].violations[0].description == "60 a minute"


async def test_no_money_is_refused(house: House) -> None:
    house.backends.hold = Hold(False, message="the day's budget is spent", retry_after_s=60)
    code, text, _ = await failure(await house.converse(start()))
    assert (code, text) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "the day's budget is spent")


async def test_while_the_provider_is_away_calls_are_refused_at_once(house: House) -> None:
    house.backends.room = Refused(Cause.PROVIDER_AWAY, "the provider takes no calls now", 21.0)
    code, text, details = await failure(await house.converse(start()))
    assert (code, text) == (grpc.StatusCode.UNAVAILABLE, "the provider takes no calls now")
    assert details[0].retry_delay.ToMilliseconds() == 21_000
    async with patience():
        while house.backends.closed != house.backends.opened:
            await asyncio.sleep(0.01)
    house.backends.room = Admitted(inf)
    stream = await house.accepted()
    stream.cancel()


async def test_no_room_at_the_provider_is_refused_and_gives_the_money_back(house: House) -> None:
    house.backends.room = Refused(Cause.PROVIDER_TOKENS, "the provider's tokens are short", 7.0)
    urgent = start(metadata={"priority": "emergency"})
    code, text, details = await failure(await house.converse(urgent))
    assert (code, text) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "the provider's tokens are short",
    )
    assert details[0].retry_delay.ToMilliseconds() == 7_000
    assert house.backends.rooms_asked == [(house.backends.opened[0], Priority.EMERGENCY)]
    async with patience():
        while house.backends.closed != house.backends.opened:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LimitReached("busy", retry_after_s=2), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (Unavailable("draining", retry_after_s=2), grpc.StatusCode.UNAVAILABLE),
        (InvalidRequest("no such profile", field="profile"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_lease_that_fails_gives_the_money_back(
    house: House, error: Exception, code: grpc.StatusCode
) -> None:
    house.backends.lease_error = error
    assert (await failure(await house.converse(start())))[0] is code
    assert house.backends.closed == house.backends.opened != []


async def test_our_own_faults_have_an_id_and_no_traceback(house: House) -> None:
    house.backends.lease_error = ZeroDivisionError("secret detail")
    code, text, _ = await failure(await house.converse(start()))
    assert code is grpc.StatusCode.INTERNAL
    assert text.startswith("internal error, id ")
    assert "secret" not in text


async def test_an_id_in_use_is_refused(house: House) -> None:
    first = await house.accepted(call_id="twice")
    code, text, details = await failure(await house.converse(start(call_id="twice")))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert "'twice'" in text
    assert field_of(details) == "call_id"
    first.cancel()


@pytest.mark.parametrize("attach_timeout_s", [0.5])
async def test_a_session_that_never_comes_is_given_up(house: House) -> None:
    house.backends.with_session = False
    code, _, _ = await failure(await house.converse(start()))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert len(house.backends.abandoned) == 1
    house.backends.live.clear()


async def test_a_caller_who_goes_during_setup_leaves_nothing(house: House) -> None:
    house.backends.with_session = False
    stream = await house.converse(start())
    async with patience():
        while not house.backends.live:
            await asyncio.sleep(0.005)
        stream.cancel()
        while not house.backends.abandoned:
            await asyncio.sleep(0.005)
    house.backends.live.clear()


async def test_a_caller_who_goes_while_waiting_for_a_session_leaves_the_line(house: House) -> None:
    house.backends.line_moves.clear()
    stream = await house.converse(start())
    async with patience():
        while not house.backends.opened:
            await asyncio.sleep(0.01)
    stream.cancel()
    async with patience():
        while not house.backends.closed:
            await asyncio.sleep(0.01)
    assert house.backends.waits_abandoned == house.backends.opened == house.backends.closed


async def test_a_caller_who_waits_for_a_session_is_told_its_place(house: House) -> None:
    house.backends.line_moves.clear()
    house.backends.places = [(3, inf), (2, 1.5), (2, 1.4), (1, 0.25)]
    stream = await house.converse(start())
    queued = [(await asyncio.wait_for(stream.read(), PATIENCE_S)).queued for _ in range(3)]
    assert [each.position for each in queued] == [3, 2, 1]
    assert [each.expected_wait.ToMilliseconds() for each in queued] == [60_000, 1_500, 250]
    house.backends.line_moves.set()
    assert (await stream.read()).HasField("accepted")
    stream.cancel()


async def test_a_caller_who_waited_in_vain_is_refused(house: House) -> None:
    house.backends.line_moves.clear()
    house.backends.places = [(1, 2.0)]
    stream = await house.converse(start())
    assert (await asyncio.wait_for(stream.read(), PATIENCE_S)).HasField("queued")
    house.backends.lease_error = LimitReached("the wait is too long", retry_after_s=1)
    house.backends.line_moves.set()
    assert (await failure(stream))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert house.backends.closed == house.backends.opened


async def test_who_gets_no_line_in_time_is_told_when_to_call_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converse, "SETUP_TIMEOUT_S", 0.3)
    house.backends.line_moves.clear()
    code, message, details = await failure(await house.converse(start()))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "too busy" in message
    assert any(isinstance(each, error_details_pb2.RetryInfo) for each in details)
    assert house.backends.waits_abandoned == house.backends.opened == house.backends.closed


async def test_a_burst_is_admitted_a_few_at_a_time(
    house: House, turnstile: TurnstileRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit, at_once, most = house.backends.admit, 0, 0
    full = asyncio.Event()

    async def counted(*args: Any) -> Admission:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == turnstile.at_once:
            full.set()
        await full.wait()
        await asyncio.sleep(0.02)  # one more would come now
        at_once -= 1
        return await admit(*args)

    monkeypatch.setattr(house.backends, "admit", counted)
    house.backends.lease_error = LimitReached("busy", retry_after_s=1)
    streams = [await house.converse(start()) for _ in range(3 * turnstile.at_once)]
    for stream in streams:
        assert (await failure(stream))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert most == turnstile.at_once


ONE_AT_A_TIME = TurnstileRules(at_once=1, waiting=2, longest_wait_s=LONG_S, first_wait_s=LONG_S)


class SlowToAdmit:
    """The security singleton: it lets go one call at a time, when told."""

    def __init__(self, backends: FakeBackends, monkeypatch: pytest.MonkeyPatch) -> None:
        self.numbers: list[str] = []  # called, in the order in which they were admitted
        self._admit, self._next = backends.admit, asyncio.Semaphore(0)
        self._open_call = backends.open_call
        monkeypatch.setattr(backends, "admit", self._slowly)
        monkeypatch.setattr(backends, "open_call", self._noted)

    async def _slowly(self, *args: Any) -> Admission:
        await self._next.acquire()
        return await self._admit(*args)

    async def _noted(self, owner: Owner) -> Hold:
        self.numbers.append(owner.number)
        return await self._open_call(owner)

    def let_go(self, calls: int) -> None:
        for _ in range(calls):
            self._next.release()


async def in_line(house: House, count: int) -> None:
    async with patience():
        while (await house.door.stats())["waiting"] != count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("turnstile", [ONE_AT_A_TIME])
async def test_who_waits_at_the_door_is_told_its_place_and_comes_in_turn(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowToAdmit(house.backends, monkeypatch)
    streams = []
    for number in range(3):
        streams.append(await house.converse(start(to=f"tel:+{number}")))
        async with patience():
            while (await house.door.stats())["live"] != number + 1:
                await asyncio.sleep(0.01)
        await in_line(house, number)
    second = await until(streams[2], "queued")
    assert (second.position, second.expected_wait.ToMilliseconds()) == (2, 200)
    assert (await until(streams[1], "queued")).position == 1
    slow.let_go(1)
    assert (await streams[0].read()).HasField("accepted")
    assert (await until(streams[2], "queued")).position == 1
    slow.let_go(2)
    for stream in streams[1:]:
        await until(stream, "accepted")
    assert slow.numbers == ["tel:+0", "tel:+1", "tel:+2"]
    for stream in streams:
        stream.cancel()


@pytest.mark.parametrize("turnstile", [ONE_AT_A_TIME])
async def test_past_the_doors_line_a_call_is_refused_at_once_but_emergencies_go_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowToAdmit(house.backends, monkeypatch)
    house.backends.emergency_numbers = ("tel:+911",)
    streams = [await house.converse(start(to="tel:+0"))]
    async with patience():
        while not (await house.door.stats())["live"]:
            await asyncio.sleep(0.01)
    for number in (1, 2):
        streams.append(await house.converse(start(to=f"tel:+{number}")))
        await in_line(house, number)
    code, message, details = await failure(await house.converse(start(to="tel:+3")))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "2 callers wait" in message
    retry = next(each for each in details if isinstance(each, error_details_pb2.RetryInfo))
    assert retry.retry_delay.ToMilliseconds() >= 1_000
    streams.append(await house.converse(start(to="tel:+911")))
    await in_line(house, 3)
    slow.let_go(4)
    for stream in streams:
        await until(stream, "accepted")
    assert slow.numbers == ["tel:+0", "tel:+911", "tel:+1", "tel:+2"]
    for stream in streams:
        stream.cancel()


@pytest.mark.parametrize("turnstile", [ONE_AT_A_TIME])
async def test_who_goes_while_waiting_at_the_door_leaves_its_place(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowToAdmit(house.backends, monkeypatch)
    inside = await house.converse(start(to="tel:+0"))
    async with patience():
        while not (await house.door.stats())["live"]:
            await asyncio.sleep(0.01)
    gone = await house.converse(start(to="tel:+1"))
    await in_line(house, 1)
    last = await house.converse(start(to="tel:+2"))
    await in_line(house, 2)
    gone.cancel()
    await in_line(house, 1)
    inside.cancel()  # while it is being admitted: the next one's turn
    await in_line(house, 0)
    slow.let_go(1)
    await until(last, "accepted")
    assert slow.numbers == ["tel:+2"]
    last.cancel()


@pytest.mark.parametrize(
    "turnstile", [TurnstileRules(at_once=1, waiting=2, longest_wait_s=0.3, first_wait_s=0.3)]
)
async def test_who_waited_for_too_long_at_the_door_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowToAdmit(house.backends, monkeypatch)
    inside = await house.converse(start())
    async with patience():
        while not (await house.door.stats())["live"]:
            await asyncio.sleep(0.01)
    code, message, details = await failure(await house.converse(start()))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "as many new calls as it takes at once" in message
    assert any(isinstance(each, error_details_pb2.RetryInfo) for each in details)
    slow.let_go(1)
    await until(inside, "accepted")
    inside.cancel()


async def test_a_hundred_refused_calls_leave_nothing(house: House) -> None:
    house.backends.lease_error = LimitReached("busy", retry_after_s=1)
    before = len(asyncio.all_tasks())
    for _ in range(100):
        await failure(await house.converse(start()))
    async with patience():
        while len(asyncio.all_tasks()) > before + 2:
            await asyncio.sleep(0.01)
    assert (await house.door.stats())["refused"] == {"RESOURCE_EXHAUSTED": 100}


# ------------------------------------------------------------------ looking at calls


async def unary_failure(call: Any) -> tuple[grpc.StatusCode, str, list[Any]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return details_of(caught.value)


async def test_calls_are_shown_listed_and_ended(house: House) -> None:
    stream = await house.accepted(call_id="c1", **{"from": "+1", "to": "+2"})
    call = await house.stub.GetCall(rv.GetCallRequest(call_id="c1"))
    assert (call.call_id, getattr(call, "from"), call.to) == ("c1", "+1", "+2")
    assert call.state == rv.CALL_STATE_ACTIVE
    listed = await house.stub.ListCalls(rv.ListCallsRequest(state=rv.CALL_STATE_ACTIVE))
    assert [each.call_id for each in listed.calls] == ["c1"]
    ended = await house.stub.EndCall(rv.EndCallRequest(call_id="c1"))
    assert ended.call_id == "c1"
    stream.cancel()


async def test_calls_are_watched(house: House) -> None:
    stream = await house.accepted(call_id="c1")
    watching = house.stub.WatchCalls(rv.WatchCallsRequest(include_current=True))
    assert (await watching.read()).kind == rv.CallUpdate.KIND_CURRENT
    await stream.write(caller(end=rv.CallEnd()))
    update = await asyncio.wait_for(watching.read(), PATIENCE_S)
    assert (update.kind, update.call.call_id) == (rv.CallUpdate.KIND_ENDED, "c1")
    assert update.call.HasField("ended_at")
    watching.cancel()


@pytest.mark.parametrize(
    ("method", "request_", "code", "field"),
    [
        ("GetCall", rv.GetCallRequest(call_id="x"), grpc.StatusCode.NOT_FOUND, "call_id"),
        ("GetCall", rv.GetCallRequest(), grpc.StatusCode.INVALID_ARGUMENT, "call_id"),
        (
            "ListCalls",
            rv.ListCallsRequest(page_size=1001),
            grpc.StatusCode.INVALID_ARGUMENT,
            "page_size",
        ),
        # a value that the types forbid
        ("ListCalls", rv.ListCallsRequest(state=9), grpc.StatusCode.INVALID_ARGUMENT, "state"),  # type: ignore[arg-type]
        ("EndCall", rv.EndCallRequest(call_id="x"), grpc.StatusCode.NOT_FOUND, "call_id"),
        (
            "EndCall",
            rv.EndCallRequest(call_id="x", reason="y" * 257),
            grpc.StatusCode.INVALID_ARGUMENT,
            "reason",
        ),
    ],
)
async def test_wrong_questions_are_refused(
    house: House, method: str, request_: Any, code: grpc.StatusCode, field: str
) -> None:
    got, _, details = await unary_failure(getattr(house.stub, method)(request_))
    assert got is code
    assert field_of(details) == field


@pytest.mark.parametrize("method", ["GetCall", "ListCalls", "EndCall"])
async def test_every_method_wants_a_key(house: House, method: str) -> None:
    house.backends.admission = Admission(False, code="unauthenticated", message="no key")
    request = {"GetCall": rv.GetCallRequest, "ListCalls": rv.ListCallsRequest,
               "EndCall": rv.EndCallRequest}[method]()  # fmt: skip
    code, _, _ = await unary_failure(getattr(house.stub, method)(request))
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_watching_wants_a_key(house: House) -> None:
    house.backends.admission = Admission(False, code="unauthenticated", message="no key")
    code, _, _ = await failure(house.stub.WatchCalls(rv.WatchCallsRequest()))
    assert code is grpc.StatusCode.UNAUTHENTICATED


# ------------------------------------------------------------------ health, reflection, drain


async def test_health_is_per_service_and_watched_through_a_drain(house: House) -> None:
    stub = health_pb2_grpc.HealthStub(house.channel)
    for service in ("", SERVICE):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    watching = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
    live = await house.accepted(call_id="live")
    await house.door.drain(30.0)
    await house.door.drain(20.0)  # they were told already
    assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    message = await asyncio.wait_for(live.read(), PATIENCE_S)
    assert message.draining.grace.seconds == 30
    code, _, details = await failure(await house.converse(start()))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert details[0].retry_delay.ToMilliseconds() > 0
    await live.write(caller(end=rv.CallEnd()))
    assert (await live.read()).HasField("summary")
    watching.cancel()


async def test_a_full_node_is_not_serving_until_it_has_room(house: House) -> None:
    stub, known = health_pb2_grpc.HealthStub(house.channel), health_pb2.HealthCheckResponse
    watching = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    for ready in (True, False, True):
        house.backends.takes_calls = ready
        told = await asyncio.wait_for(watching.read(), PATIENCE_S)
        assert told.status == (known.SERVING if ready else known.NOT_SERVING)
    watching.cancel()


async def test_a_door_that_opens_again_in_a_drain_is_not_serving(house: House) -> None:
    house.backends.takes_calls = False
    again = FrontDoor(DoorConfig("127.0.0.1", 0, "n1"), house.backends)
    async with grpc.aio.insecure_channel(await again.start()) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    await again.stop()


async def test_who_was_still_waiting_for_a_line_is_told_of_the_drain_too(house: House) -> None:
    house.backends.line_moves.clear()
    stream = await house.converse(start())
    async with patience():
        while not house.backends.here:
            await asyncio.sleep(0.01)
    await house.door.drain(30.0)
    house.backends.line_moves.set()
    assert (await asyncio.wait_for(stream.read(), PATIENCE_S)).HasField("accepted")
    assert (await until(stream, "draining")).grace.seconds == 30
    await stream.write(caller(end=rv.CallEnd()))
    await until(stream, "summary")


async def test_the_service_can_be_discovered(house: House) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(house.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stream = stub.ServerReflectionInfo(iter([request]))
    answer = await stream.read()
    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    stream.cancel()
