"""The wire form of the OpenAI Realtime API (GA protocol), both ways.

Source: OpenAI Realtime API reference, client and server events.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import asdict
from math import inf
from typing import Any

from reception.provider import base as b

_FORMATS: dict[str, b.JsonObject] = {
    "pcmu": {"type": "audio/pcmu"},
    "pcma": {"type": "audio/pcma"},
    "pcm24k": {"type": "audio/pcm", "rate": 24000},
}
# Errors that dialling again can't heal.
_FINAL = frozenset(
    {
        "insufficient_quota",
        "invalid_api_key",
        "account_deactivated",
        "billing_hard_limit_reached",
        "model_not_found",
    }
)
# Errors after which the session is lost.
_FATAL = _FINAL | {"session_expired"}


class RealtimeCodec:
    """`ProviderCodec` for OpenAI Realtime and whoever speaks its protocol."""

    name = "realtime"

    def decode(self, raw: bytes | str) -> b.ProviderEvent:
        """One server event; unknown ones are `Other`, malformed ones too."""
        try:
            event = json.loads(raw)
            kind = event["type"]
            reader = _READERS.get(kind)
            return b.Other(str(kind)) if reader is None else reader(event)
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            return b.Other("malformed")

    def encode(self, command: b.ProviderCommand) -> str:
        """One client event."""
        if isinstance(command, b.AppendAudio):  # 50 times a second for every call
            audio = base64.b64encode(command.audio).decode()
            return f'{{"type":"input_audio_buffer.append","audio":"{audio}"}}'
        return json.dumps(_client_event(command), ensure_ascii=False, separators=(",", ":"))

    def said(self, event: b.SpeechStarted | b.SpeechStopped) -> bytes:
        """One server event, as `decode` reads it."""
        started = isinstance(event, b.SpeechStarted)
        kind = "speech_started" if started else "speech_stopped"
        return json.dumps({"type": f"input_audio_buffer.{kind}"} | asdict(event)).encode()

    def renamed(self, raw: bytes, item_id: str, bill_id: str) -> bytes:
        """One server event with another item_id, and a field that only `decode` knows."""
        return json.dumps(json.loads(raw) | {"item_id": item_id, "bill_id": bill_id}).encode()


# ------------------------------------------------------------------ decoding


def _session_created(event: Any) -> b.ProviderEvent:
    session = event["session"]
    return b.SessionReady(str(session.get("id", "")), session.get("expires_at"))


def _speech_started(event: Any) -> b.ProviderEvent:
    return b.SpeechStarted(event["item_id"], event["audio_start_ms"])


def _speech_stopped(event: Any) -> b.ProviderEvent:
    return b.SpeechStopped(event["item_id"], event["audio_end_ms"])


def _committed(event: Any) -> b.ProviderEvent:
    return b.AudioCommitted(event["item_id"], _bill_id(event))


def _bill_id(event: Any) -> str:
    return str(event.get("bill_id") or "")


def _caller_delta(event: Any) -> b.ProviderEvent:
    return b.CallerTranscript(event["item_id"], event.get("delta") or "", final=False)


def _caller_completed(event: Any) -> b.ProviderEvent:
    usage = event.get("usage")
    return b.CallerTranscript(
        event["item_id"],
        event["transcript"],
        final=True,
        usage=_transcription_usage(usage),
        bill_id=_bill_id(event),
    )


def _transcription_usage(usage: Any) -> b.TranscriptionUsage | None:
    if not usage:
        return None
    if usage["type"] == "duration":
        return b.TranscriptionUsage(seconds=float(usage["seconds"]))
    details = usage.get("input_token_details") or {}
    audio = int(details.get("audio_tokens") or 0)
    return b.TranscriptionUsage(
        input_audio=audio,
        input_text=int(usage["input_tokens"]) - audio,
        output_text=int(usage["output_tokens"]),
    )


def _caller_failed(event: Any) -> b.ProviderEvent:
    error = event.get("error") or {}
    code, message = str(error.get("code") or ""), str(error.get("message") or "")
    return b.CallerTranscriptFailed(event["item_id"], code, message, _bill_id(event))


def _audio_delta(event: Any) -> b.ProviderEvent:
    return b.AudioDelta(
        event["response_id"],
        event["item_id"],
        event["content_index"],
        base64.b64decode(event["delta"]),
    )


def _audio_done(event: Any) -> b.ProviderEvent:
    return b.AudioDone(event["response_id"], event["item_id"])


def _transcript_delta(event: Any) -> b.ProviderEvent:
    return _words(event, event["delta"], final=False)


def _transcript_done(event: Any) -> b.ProviderEvent:
    return _words(event, event["transcript"], final=True)


def _text_delta(event: Any) -> b.ProviderEvent:
    return _words(event, event["delta"], final=False, written=True)


def _text_done(event: Any) -> b.ProviderEvent:
    return _words(event, event["text"], final=True, written=True)


def _words(event: Any, text: str, *, final: bool, written: bool = False) -> b.ProviderEvent:
    return b.AssistantTranscript(event["response_id"], event["item_id"], text, final, written)


def _tool_call(event: Any) -> b.ProviderEvent:
    return b.ToolCall(
        event["response_id"],
        event["item_id"],
        event["call_id"],
        str(event.get("name") or ""),
        event["arguments"],
    )


def _response_started(event: Any) -> b.ProviderEvent:
    return b.ResponseStarted(event["response"]["id"])


def _response_done(event: Any) -> b.ProviderEvent:
    response = event["response"]
    details = response.get("status_details") or {}
    error = details.get("error") or {}
    code = str(error.get("code") or error.get("type") or "")
    return b.ResponseDone(
        response["id"],
        response["status"],
        str(details.get("reason") or ""),
        _usage(response.get("usage")),
        code,
        str(error.get("message") or ""),
        healable=code not in _FINAL,
    )


def _truncated(event: Any) -> b.ProviderEvent:
    return b.ItemCut(event["item_id"], event["audio_end_ms"])


def _deleted(event: Any) -> b.ProviderEvent:
    return b.ItemCut(event["item_id"], 0)


def _usage(usage: Any) -> b.Usage | None:
    """Cached tokens are a part of the input tokens (OpenAI's rule). What the totals have
    beside their details counts as audio, the dearest; cached tokens that are of no kind
    count as text as far as there is input text, then as images, the least savings. None:
    nothing is told."""
    if not isinstance(usage, dict) or not usage:
        return None
    into, out = _part(usage, "input_token_details"), _part(usage, "output_token_details")
    input_text, input_image = _count(into, "text_tokens"), _count(into, "image_tokens")
    others = _count(usage, "input_tokens") - input_text - input_image
    input_audio = max(_count(into, "audio_tokens"), others)
    output_text = _count(out, "text_tokens")
    output_audio = max(_count(out, "audio_tokens"), _count(usage, "output_tokens") - output_text)
    cached = _part(into, "cached_tokens_details")
    cached_text = min(_count(cached, "text_tokens"), input_text)
    cached_image = min(_count(cached, "image_tokens"), input_image)
    cached_audio = min(_count(cached, "audio_tokens"), input_audio)
    rest = max(0, _count(into, "cached_tokens") - cached_text - cached_image - cached_audio)
    as_text = min(rest, input_text - cached_text)
    as_image = min(rest - as_text, input_image - cached_image)
    return b.Usage(
        input_text=input_text,
        input_audio=input_audio,
        cached_text=cached_text + as_text,
        cached_audio=min(cached_audio + rest - as_text - as_image, input_audio),
        output_text=output_text,
        output_audio=output_audio,
        input_image=input_image,
        cached_image=cached_image + as_image,
    )


def _part(of: b.JsonObject, name: str) -> b.JsonObject:
    part = of.get(name)
    return part if isinstance(part, dict) else {}


def _count(of: b.JsonObject, name: str) -> int:
    """0 where there is no number of tokens."""
    value = of.get(name)
    return int(value) if isinstance(value, int | float) and 0 < value < inf else 0


def _rate_limits(event: Any) -> b.ProviderEvent:
    return b.RateLimits(
        tuple(
            (
                str(limit["name"]),
                int(limit["limit"]),
                int(limit["remaining"]),
                float(limit["reset_seconds"]),
            )
            for limit in event["rate_limits"]
        )
    )


def _error(event: Any) -> b.ProviderEvent:
    error = event["error"]
    code = str(error.get("code") or error.get("type") or "")
    return b.ProviderFault(
        code,
        str(error.get("message") or ""),
        fatal=code in _FATAL,
        healable=code not in _FINAL,
        nothing_to_cancel=code == "response_cancel_not_active",
    )


_READERS: dict[str, Callable[[Any], b.ProviderEvent]] = {
    "session.created": _session_created,
    "session.updated": lambda _: b.SessionConfigured(),
    "input_audio_buffer.speech_started": _speech_started,
    "input_audio_buffer.speech_stopped": _speech_stopped,
    "input_audio_buffer.committed": _committed,
    "conversation.item.input_audio_transcription.delta": _caller_delta,
    "conversation.item.input_audio_transcription.completed": _caller_completed,
    "conversation.item.input_audio_transcription.failed": _caller_failed,
    "response.created": _response_started,
    "response.output_audio.delta": _audio_delta,
    "response.output_audio.done": _audio_done,
    "response.output_audio_transcript.delta": _transcript_delta,
    "response.output_audio_transcript.done": _transcript_done,
    "response.output_text.delta": _text_delta,
    "response.output_text.done": _text_done,
    "response.function_call_arguments.done": _tool_call,
    "response.done": _response_done,
    "conversation.item.truncated": _truncated,
    "conversation.item.deleted": _deleted,
    "rate_limits.updated": _rate_limits,
    "error": _error,
}


# ------------------------------------------------------------------ encoding


def _client_event(command: b.ProviderCommand) -> b.JsonObject:
    match command:
        case b.Configure():
            return {"type": "session.update", "session": _session(command)}
        case b.Bound(most):
            session = {"type": "realtime", "max_output_tokens": most or "inf"}
            return {"type": "session.update", "session": session}
        case b.CommitAudio():
            return {"type": "input_audio_buffer.commit"}
        case b.ClearAudio():
            return {"type": "input_audio_buffer.clear"}
        case b.Respond(most):
            response = {} if most is None else {"max_output_tokens": most}
            return {"type": "response.create", "response": response}
        case b.CancelResponse(response_id):
            cancel: b.JsonObject = {"type": "response.cancel"}
            return cancel | ({"response_id": response_id} if response_id else {})
        case b.TruncateItem(item_id, content_index, audio_end_ms):
            return {
                "type": "conversation.item.truncate",
                "item_id": item_id,
                "content_index": content_index,
                "audio_end_ms": audio_end_ms,
            }
        case b.DeleteItem(item_id):
            return {"type": "conversation.item.delete", "item_id": item_id}
        case _:
            return {"type": "conversation.item.create", "item": _item(command)}


def _item(command: b.ProviderCommand) -> b.JsonObject:
    match command:
        case b.AddText(role, text, item_id):
            content = {"type": "output_text" if role == "assistant" else "input_text", "text": text}
            item: b.JsonObject = {"type": "message", "role": role, "content": [content]}
            return item | ({"id": item_id} if item_id else {})
        case b.AddToolCall(call_id, name, arguments):
            return {
                "type": "function_call",
                "call_id": call_id,
                "name": name,
                "arguments": arguments,
            }
        case b.ToolResult(call_id, output):
            return {"type": "function_call_output", "call_id": call_id, "output": output}
        case _:
            raise TypeError(f"{type(command).__name__} is no command for a provider")


def _session(command: b.Configure) -> b.JsonObject:
    audio_format = _FORMATS[command.audio_format]
    audio_in: b.JsonObject = {
        "format": audio_format,
        "transcription": {
            "model": command.transcription_model,
            "language": command.language,
            "prompt": command.transcription_prompt,
        },
        "turn_detection": _turn_detection(command.turn_detection),
    }
    if command.noise_reduction:
        audio_in["noise_reduction"] = {"type": command.noise_reduction}
    audio: b.JsonObject = {"input": audio_in}
    if not command.text:
        voice = {"voice": command.voice, "speed": command.speed}
        audio["output"] = {"format": audio_format} | voice
    session: b.JsonObject = {
        "type": "realtime",
        "output_modalities": ["text" if command.text else "audio"],
        "instructions": command.instructions,
        "audio": audio,
        "tools": [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            }
            for tool in command.tools
        ],
        "tool_choice": "auto",
    }
    if command.max_output_tokens is not None:
        session["max_output_tokens"] = command.max_output_tokens
    if command.truncation is not None:
        session["truncation"] = {
            "type": "retention_ratio",
            "retention_ratio": command.truncation.retain_percent / 100,
            "token_limits": {"post_instructions": command.truncation.token_limit},
        }
    return session


def _turn_detection(turns: b.TurnDetection | None) -> b.JsonObject | None:
    if turns is None or turns.local:
        return None
    common = {"create_response": turns.automatic, "interrupt_response": turns.automatic}
    if turns.kind == "semantic_vad":
        return {"type": "semantic_vad", "eagerness": turns.eagerness} | common
    return {
        "type": "server_vad",
        "threshold": turns.threshold,
        "prefix_padding_ms": turns.prefix_padding_ms,
        "silence_duration_ms": turns.silence_duration_ms,
    } | common
