"""The Realtime protocol's wire form, against OpenAI's own types."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter

from reception.errors import InvalidRequest
from reception.money.prices import ModelPrice, PriceTable, TokenPrice
from reception.provider import base as b
from reception.provider import codec_for
from reception.provider.realtime import RealtimeCodec

CODEC = RealtimeCodec()
CLIENT_EVENT = TypeAdapter(RealtimeClientEvent)
TOOL = b.ToolSpec("f", "does", {"type": "object", "properties": {}})


def decode(event_type, **fields):
    return CODEC.decode(json.dumps({"type": event_type, "event_id": "e", **fields}))


@pytest.mark.parametrize(
    "command",
    [
        b.Configure("Be kind.", "marin"),
        b.Configure(
            "Be kind.", "cedar", "pcma", (TOOL,), b.TurnDetection("semantic_vad", eagerness="low"),
            noise_reduction="near_field", max_output_tokens=200, truncation=b.Truncation(8_000, 50),
        ),
        b.Configure("x", "cedar", "pcm24k", turn_detection=None),
        b.Configure("x", "cedar", turn_detection=b.TurnDetection("local")),
        b.CommitAudio(),
        b.ClearAudio(),
        b.AppendAudio(b"\xff" * 160),
        b.Respond(),
        b.Respond(200),
        b.Bound(400),
        b.Bound(None),
        b.CancelResponse(),
        b.CancelResponse("r1"),
        b.AddText("user", "Hi"),
        b.AddText("assistant", "Hello", "item_1"),
        b.AddText("system", "Be brief"),
        b.AddToolCall("c", "f", "{}"),
        b.ToolResult("c", "{}"),
        b.TruncateItem("i", 0, 1500),
        b.DeleteItem("i"),
    ],
)  # fmt: skip
def test_every_command_is_a_client_event_of_the_sdk(command):
    event = json.loads(CODEC.encode(command))
    CLIENT_EVENT.validate_python(event)


def test_a_bound_changes_nothing_else_of_the_session():
    session = {"type": "realtime", "max_output_tokens": 400}
    assert json.loads(CODEC.encode(b.Bound(400))) == {"type": "session.update", "session": session}
    none = json.loads(CODEC.encode(b.Bound(None)))
    assert none["session"] == {"type": "realtime", "max_output_tokens": "inf"}
    assert json.loads(CODEC.encode(b.Respond(200)))["response"] == {"max_output_tokens": 200}
    assert json.loads(CODEC.encode(b.Respond()))["response"] == {}


def test_caller_audio_is_base64():
    event = json.loads(CODEC.encode(b.AppendAudio(b"\x00\x01")))
    assert base64.b64decode(event["audio"]) == b"\x00\x01"


def test_a_session_is_configured_as_the_ga_protocol_has_it():
    session = json.loads(CODEC.encode(b.Configure("I", "marin", tools=(TOOL,))))["session"]
    assert session["type"] == "realtime"
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    assert session["audio"]["output"]["voice"] == "marin"
    assert session["tools"][0]["name"] == "f"
    assert "truncation" not in session


def test_the_conversation_is_cut_back_as_the_provider_is_told():
    configure = b.Configure("I", "marin", truncation=b.Truncation(8_000, 50))
    assert json.loads(CODEC.encode(configure))["session"]["truncation"] == {
        "type": "retention_ratio",
        "retention_ratio": 0.5,
        "token_limits": {"post_instructions": 8_000},
    }


def test_speech_stops_and_makes_responses_unless_it_is_not_to():
    for automatic in (True, False):
        configure = b.Configure("I", "v", turn_detection=b.TurnDetection(automatic=automatic))
        session = json.loads(CODEC.encode(configure))["session"]
        turns = session["audio"]["input"]["turn_detection"]
        assert turns["interrupt_response"] is automatic
        assert turns["create_response"] is automatic


def test_a_provider_that_is_told_turns_looks_for_none():
    configure = b.Configure("I", "v", turn_detection=b.TurnDetection("local"))
    session = json.loads(CODEC.encode(configure))["session"]
    assert session["audio"]["input"]["turn_detection"] is None


def test_what_is_no_provider_command_is_a_programmers_error():
    nonsense: Any = "hello"
    with pytest.raises(TypeError):
        CODEC.encode(nonsense)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (decode("session.created", session={"id": "s", "expires_at": 5}), b.SessionReady("s", 5)),
        (decode("session.updated", session={}), b.SessionConfigured()),
        (
            decode("input_audio_buffer.speech_started", item_id="i", audio_start_ms=7),
            b.SpeechStarted("i", 7),
        ),
        (
            decode("input_audio_buffer.speech_stopped", item_id="i", audio_end_ms=9),
            b.SpeechStopped("i", 9),
        ),
        (
            decode("conversation.item.input_audio_transcription.delta", item_id="i", delta="a"),
            b.CallerTranscript("i", "a", final=False),
        ),
        (
            decode(
                "conversation.item.input_audio_transcription.failed",
                item_id="i", error={"code": "c", "message": "m"},
            ),
            b.CallerTranscriptFailed("i", "c", "m"),
        ),
        (decode("response.created", response={"id": "r"}), b.ResponseStarted("r")),
        (
            decode(
                "response.output_audio.delta",
                response_id="r", item_id="i", content_index=0, delta="AAE=",
            ),
            b.AudioDelta("r", "i", 0, b"\x00\x01"),
        ),
        (
            decode("conversation.item.truncated", item_id="i", content_index=0, audio_end_ms=7),
            b.ItemCut("i", 7),
        ),
        (decode("conversation.item.deleted", item_id="i"), b.ItemCut("i", 0)),
        (decode("response.output_audio.done", response_id="r", item_id="i"), b.AudioDone("r", "i")),
        (
            decode(
                "response.output_audio_transcript.delta", response_id="r", item_id="i", delta="x"
            ),
            b.AssistantTranscript("r", "i", "x", final=False),
        ),
        (
            decode(
                "response.output_audio_transcript.done",
                response_id="r", item_id="i", transcript="xy",
            ),
            b.AssistantTranscript("r", "i", "xy", final=True),
        ),
        (
            decode("response.output_text.delta", response_id="r", item_id="i", delta="t"),
            b.AssistantTranscript("r", "i", "t", final=False, written=True),
        ),
        (
            decode("response.output_text.done", response_id="r", item_id="i", text="t"),
            b.AssistantTranscript("r", "i", "t", final=True, written=True),
        ),
        (
            decode(
                "response.function_call_arguments.done",
                response_id="r", item_id="i", call_id="c", name="f", arguments="{}",
            ),
            b.ToolCall("r", "i", "c", "f", "{}"),
        ),
        (
            decode(
                "rate_limits.updated",
                rate_limits=[
                    {"name": "tokens", "limit": 9, "remaining": 5, "reset_seconds": 0.5}
                ],
            ),
            b.RateLimits((("tokens", 9, 5, 0.5),)),
        ),
        (decode("conversation.item.added", item={}), b.Other("conversation.item.added")),
        (decode("something.new"), b.Other("something.new")),
        (CODEC.decode(b"{"), b.Other("malformed")),
        (CODEC.decode("[]"), b.Other("malformed")),
        (decode("response.created"), b.Other("malformed")),
        (
            decode(
                "response.output_audio.delta",
                response_id="r", item_id="i", content_index=0, delta="A",
            ),
            b.Other("malformed"),
        ),
    ],
)  # fmt: skip
def test_server_events(event, expected):
    assert event == expected


def test_usage_counts_cached_tokens_inside_the_input():
    usage = {
        "input_token_details": {
            "text_tokens": 100, "audio_tokens": 50, "image_tokens": 7, "cached_tokens": 64,
            "cached_tokens_details": {"text_tokens": 44, "audio_tokens": 20},
        },
        "output_token_details": {"text_tokens": 5, "audio_tokens": 30},
    }  # fmt: skip
    done = decode("response.done", response={"id": "r", "status": "completed", "usage": usage})
    assert done == b.ResponseDone("r", "completed", usage=b.Usage(100, 50, 44, 20, 5, 30, 7))


def usage_of(usage):
    return decode("response.done", response={"id": "r", "status": "done", "usage": usage}).usage


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, None),
        ("many", None),
        (
            {
                "input_token_details": {
                    "text_tokens": 300, "audio_tokens": 400, "cached_tokens": 500,
                }
            },
            b.Usage(300, 400, 300, 200),
        ),
        (
            {
                "input_token_details": {
                    "text_tokens": 300, "audio_tokens": 400, "cached_tokens": 500,
                    "cached_tokens_details": {"text_tokens": 150},
                }
            },
            b.Usage(300, 400, 300, 200),
        ),
        (
            {
                "input_token_details": {
                    "text_tokens": 300, "audio_tokens": 400,
                    "cached_tokens_details": {"text_tokens": 900, "audio_tokens": 900},
                }
            },
            b.Usage(300, 400, 300, 400),
        ),
        (
            {
                "total_tokens": 1_700, "input_tokens": 1_600, "output_tokens": 100,
                "input_token_details": {
                    "text_tokens": 400, "audio_tokens": 200, "image_tokens": 1_000,
                    "cached_tokens": 1_152,
                    "cached_tokens_details": {
                        "text_tokens": 384, "audio_tokens": 0, "image_tokens": 768,
                    },
                },
                "output_token_details": {"text_tokens": 20, "audio_tokens": 80},
            },
            b.Usage(400, 200, 384, 0, 20, 80, input_image=1_000, cached_image=768),
        ),
        (
            {
                "input_token_details": {
                    "text_tokens": 300, "audio_tokens": 400, "image_tokens": 100,
                    "cached_tokens": 450,
                }
            },
            b.Usage(300, 400, 300, 50, input_image=100, cached_image=100),
        ),
        (
            {"input_token_details": {"image_tokens": 100, "cached_tokens": 99,
                                     "cached_tokens_details": {"image_tokens": 900}}},
            b.Usage(input_image=100, cached_image=100),
        ),
        ({"input_tokens": 12, "output_tokens": 7}, b.Usage(0, 12, 0, 0, 0, 7)),
        (
            {
                "input_tokens": 12, "input_token_details": {"text_tokens": 5},
                "output_tokens": 9, "output_token_details": {"text_tokens": 9},
            },
            b.Usage(5, 7, 0, 0, 9, 0),
        ),
        (
            {"input_tokens": -4, "input_token_details": {"text_tokens": "x", "cached_tokens": 3}},
            b.Usage(),
        ),
        ({"output_tokens": 3, "input_token_details": [1]}, b.Usage(output_audio=3)),
        ({"input_tokens": float("nan"), "output_tokens": 3.0}, b.Usage(output_audio=3)),
    ],
)  # fmt: skip
def test_usage_that_is_told_in_part_is_counted_so_that_it_can_be_billed(usage, expected):
    assert usage_of(usage) == expected


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A JSON object of which any part may be left out, null, or of another kind."""
    whole = st.fixed_dictionaries({}, optional={k: st.none() | v for k, v in fields.items()})
    return whole | st.sampled_from([None, [], "x", 1])


tokens = st.integers(0, 10_000)
kinds = dict.fromkeys(("text_tokens", "audio_tokens", "image_tokens"), tokens)
usages = some(
    input_tokens=tokens,
    output_tokens=tokens,
    input_token_details=some(**kinds, cached_tokens=tokens, cached_tokens_details=some(**kinds)),
    output_token_details=some(**kinds),
)


def told(usage: dict[str, Any], way: str, names: tuple[str, ...]) -> int:
    """Its tokens of one way: the total, or what the details come to if that is more."""
    details = usage.get(f"{way}_token_details")
    parts = details if isinstance(details, dict) else {}
    return max(usage.get(f"{way}_tokens") or 0, sum(parts.get(name) or 0 for name in names))


@given(usages)
def test_any_usage_is_billable_and_has_all_its_tokens(usage):
    decoded = usage_of(usage)
    if not isinstance(usage, dict) or not usage:
        assert decoded is None
        return
    prices = ModelPrice(0.0, TokenPrice(4, 1, 16), TokenPrice(32, 1, 64))
    assert PriceTable("v", {"m": (prices,)}).cost(decoded, "m", 0.0) >= 0
    into = told(usage, "input", ("text_tokens", "audio_tokens", "image_tokens"))
    assert decoded.input == into
    out = told(usage, "output", ("text_tokens", "audio_tokens"))
    assert decoded.output_text + decoded.output_audio == out
    details = usage.get("input_token_details")
    cached = (details.get("cached_tokens") or 0) if isinstance(details, dict) else 0
    assert decoded.cached >= min(cached, into)


def test_a_failed_response_has_its_reason():
    details = {"type": "failed", "error": {"type": "server_error", "message": "oops"}}
    response = {"id": "r", "status": "failed", "status_details": details}
    done = decode("response.done", response=response)
    assert (done.error_code, done.error_message, done.usage) == ("server_error", "oops", None)
    assert done.healable
    details["error"] = {"type": "insufficient_quota", "code": "insufficient_quota"}
    assert not decode("response.done", response=response).healable


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({"type": "duration", "seconds": 1.5}, b.TranscriptionUsage(seconds=1.5)),
        (
            {
                "type": "tokens", "input_tokens": 12, "output_tokens": 3,
                "input_token_details": {"audio_tokens": 10},
            },
            b.TranscriptionUsage(input_audio=10, input_text=2, output_text=3),
        ),
    ],
)  # fmt: skip
def test_transcription_is_billed_by_seconds_or_tokens(usage, expected):
    done = decode(
        "conversation.item.input_audio_transcription.completed",
        item_id="i", transcript="x", usage=usage,
    )  # fmt: skip
    assert done == b.CallerTranscript("i", "x", final=True, usage=expected)


@pytest.mark.parametrize(
    ("code", "fatal", "healable"),
    [
        ("session_expired", True, True),
        ("insufficient_quota", True, False),
        ("invalid_api_key", True, False),
        ("response_cancel_not_active", False, True),
    ],
)
def test_errors_are_told_apart(code, fatal, healable):
    fault = decode("error", error={"type": "t", "code": code, "message": "m"})
    nothing = code == "response_cancel_not_active"
    assert fault == b.ProviderFault(code, "m", fatal, healable, nothing_to_cancel=nothing)


def test_an_error_without_a_code_has_its_type():
    assert decode("error", error={"type": "server_error"}).code == "server_error"


def test_both_providers_speak_it_and_others_are_named():
    assert codec_for("openai").name == codec_for("embedded").name == "realtime"
    with pytest.raises(InvalidRequest, match="'acme' is not one of embedded, openai"):
        codec_for("acme")
