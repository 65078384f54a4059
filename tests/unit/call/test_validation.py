"""Bounds of what telephony systems send."""

import pytest

from reception.call.validation import LegGuard, StartRequest, check_start, check_token
from reception.errors import InvalidRequest


def start(**fields):
    return StartRequest(**({"codec": "pcmu"} | fields))


def test_defaults_are_filled_in():
    checked = check_start(start())
    assert (checked.rate_hz, checked.ptime_ms, checked.direction) == (8_000, 20, "inbound")
    assert check_start(start(codec="l16", rate_hz=48_000, ptime_ms=60)).rate_hz == 48_000


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"call_id": "a b"}, "start.call_id", "'a b' must be 1 to 128"),
        ({"call_id": "x" * 129}, "start.call_id", "…"),
        ({"from_uri": "x" * 257}, "start.from", "from has 257 bytes, over 256"),
        ({"to_uri": "é" * 129}, "start.to", "to has 258 bytes, over 256"),
        ({"profile": "x" * 129}, "start.profile", "over 128"),
        ({"direction": "sideways"}, "start.direction", "'sideways' is not one of inbound"),
        ({"codec": ""}, "start.format.codec", "not one of PCMU, PCMA, L16"),
        ({"codec": "g729"}, "start.format.codec", "'g729'"),
        ({"rate_hz": 16_000}, "start.format.rate_hz", "16000 is not one of 8000"),
        ({"codec": "l16"}, "start.format.rate_hz", "0 is not one of 8000, 16000"),
        ({"ptime_ms": 25}, "start.format.ptime_ms", "25 is not one of 10, 20, 30"),
        ({"codec": "opus"}, "start.format.rate_hz", "0 is not one of 8000, 16000"),
        (
            {"codec": "opus", "rate_hz": 48_000, "ptime_ms": 30},
            "start.format.ptime_ms",
            "30 is not one of 10, 20, 40, 60 for codec OPUS",
        ),
        ({"metadata": {str(n): "" for n in range(65)}}, "start.metadata", "65 entries, over 64"),
        ({"metadata": {"k" * 129: ""}}, "start.metadata", "a key of metadata has 129"),
        ({"metadata": {"k": "v" * 4097}}, "start.metadata", "metadata['k'] has 4097 bytes"),
        (
            {"metadata": {str(n): "v" * 4000 for n in range(5)}},
            "start.metadata",
            "20005 bytes, over 16384",
        ),
    ],
)
def test_a_field_out_of_its_bounds_is_named_with_value_and_bound(fields, field, message):
    with pytest.raises(InvalidRequest) as caught:
        check_start(start(**fields))
    assert caught.value.field == field
    assert message in caught.value.message


def test_opus_has_the_rates_of_linear_audio_and_the_frames_of_opus():
    for rate_hz in (8_000, 16_000, 24_000, 48_000):
        checked = check_start(start(codec="opus", rate_hz=rate_hz, ptime_ms=60))
        assert (checked.codec, checked.rate_hz, checked.ptime_ms) == ("opus", rate_hz, 60)


def test_an_opus_packet_may_have_any_size_up_to_that_of_120_ms():
    guard = LegGuard("opus", 8_000)
    for size in (1, 2, 7_662):
        guard.audio(size)
    with pytest.raises(InvalidRequest, match=r"7663 bytes, over 7662 \(120 ms of Opus\)"):
        guard.audio(7_663)


def test_good_messages_pass():
    guard = LegGuard("pcmu", 8_000)
    guard.audio(160)
    guard.audio(8_000)
    guard.dtmf("12#A", 80)
    guard.mark("m")
    guard.event(1, "why")
    guard.end("bye")


@pytest.mark.parametrize(
    ("method", "arguments", "field", "message"),
    [
        ("audio", (0,), "audio.payload", "is empty"),
        ("audio", (321,), "audio.payload", "321 bytes, an odd number"),
        ("audio", (32_002,), "audio.payload", "over 32000 (1 s)"),
        ("dtmf", ("", 0), "dtmf.digits", "'' must be 1 to 64"),
        ("dtmf", ("1" * 65, 0), "dtmf.digits", "1 to 64"),
        ("dtmf", ("x", 0), "dtmf.digits", "'x'"),
        ("mark", ("m" * 65,), "mark.name", "65 bytes, over 64"),
        ("event", (0, ""), "event.kind", "0 is not 1 to 4"),
        ("event", (9, ""), "event.kind", "9 is not 1 to 4"),
        ("event", (1, "x" * 257), "event.detail", "257 bytes"),
        ("start_again", (), "start", "only once"),
        ("end", ("x" * 257,), "end.reason", "257 bytes"),
    ],
)
def test_a_wrong_message_is_refused_with_its_field(method, arguments, field, message):
    with pytest.raises(InvalidRequest) as caught:
        getattr(LegGuard("l16", 16_000), method)(*arguments)
    assert caught.value.field == field
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("audio", (160,)), ("dtmf", ("1", 0)), ("mark", ("m",)), ("event", (1, "")), ("end", ("",))],
)
def test_nothing_follows_the_end(method, arguments):
    guard = LegGuard("pcmu", 8_000)
    guard.end("")
    with pytest.raises(InvalidRequest, match="nothing may follow"):
        getattr(guard, method)(*arguments)


def test_a_resume_token_is_short():
    check_token("x" * 512)
    with pytest.raises(InvalidRequest, match="over 512") as caught:
        check_token("x" * 513)
    assert caught.value.field == "start.resume_token"


def test_a_new_stream_of_a_leg_has_the_same_bounds():
    guard = LegGuard("l16", 8_000)
    guard.end("")
    anew = guard.anew()
    anew.audio(320)
    with pytest.raises(InvalidRequest, match="odd"):
        anew.audio(321)
