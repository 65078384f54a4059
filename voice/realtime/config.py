"""A session's configuration: what clients may set, and what is refused."""

from __future__ import annotations

import copy
import json
from typing import Any

from voice.realtime.errors import Refused

FORMATS = {"audio/pcmu": "pcmu", "audio/pcma": "pcma", "audio/pcm": "pcm24k"}
SERVER_VAD: dict[str, Any] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_SEMANTIC_VAD: dict[str, Any] = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
_EAGERNESS_MS = {"low": 1200, "medium": 700, "auto": 700, "high": 400}
_KNOWN = frozenset(
    {
        "type", "model", "output_modalities", "instructions", "tools", "tool_choice", "audio",
        "max_output_tokens", "truncation", "tracing", "include", "prompt",
        "parallel_tool_calls", "reasoning",
    }
)  # fmt: skip
_BOUNDS: dict[str, tuple[float, float]] = {
    "threshold": (0, 1),
    "prefix_padding_ms": (0, 5_000),
    "silence_duration_ms": (100, 10_000),
    "idle_timeout_ms": (5_000, 30_000),
}


def default(model: str) -> dict[str, Any]:
    pcm = {"type": "audio/pcm", "rate": 24000}
    return {
        "type": "realtime",
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "audio": {
            "input": {
                "format": dict(pcm),
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": dict(SERVER_VAD),
            },
            "output": {"format": dict(pcm), "voice": "marin", "speed": 1.0},
        },
    }


def updated(config: dict[str, Any], change: Any, *, audio_started: bool) -> dict[str, Any]:
    """The configuration after session.update. Raises Refused; then nothing changed."""
    if not isinstance(change, dict):
        raise Refused("Missing required parameter: 'session'.", param="session")
    for name in change:
        if name not in _KNOWN:
            raise Refused(
                f"Unknown parameter: 'session.{name}'.",
                code="unknown_parameter",
                param=f"session.{name}",
            )
    new = copy.deepcopy(config)
    for name, value in change.items():
        if name not in ("audio", "model", "type"):
            new[name] = value
    _modalities(new["output_modalities"])
    limit = new["max_output_tokens"]
    if limit != "inf" and not (isinstance(limit, int) and 1 <= limit <= 4096):
        raise _invalid("max_output_tokens", limit)
    if not isinstance(new["tools"], list):
        raise _invalid("tools", new["tools"])
    _merge_audio(new["audio"], change.get("audio") or {}, audio_started)
    return new


def _modalities(value: Any) -> None:
    if value not in (["audio"], ["text"]):
        raise _invalid("output_modalities", value)


def _merge_audio(audio: dict[str, Any], change: Any, audio_started: bool) -> None:
    for side in ("input", "output"):
        given = change.get(side) or {}
        if given.get("format") is not None:
            wanted = _format(given["format"], side)
            if audio_started and wanted != audio[side]["format"] and side == "input":
                raise Refused(
                    "Cannot change the audio format after audio was received.",
                    code="cannot_update_audio_format",
                    param=f"session.audio.{side}.format",
                )
            audio[side]["format"] = wanted
    into = change.get("input") or {}
    for name in ("transcription", "noise_reduction"):
        if name in into:
            audio["input"][name] = into[name]
    if "turn_detection" in into:
        audio["input"]["turn_detection"] = _turn_detection(into["turn_detection"])
    out = change.get("output") or {}
    if out.get("voice") is not None:
        audio["output"]["voice"] = out["voice"]
    if out.get("speed") is not None:
        speed = out["speed"]
        if not isinstance(speed, int | float) or not 0.25 <= speed <= 1.5:
            raise _invalid("audio.output.speed", speed)
        audio["output"]["speed"] = float(speed)


def _format(raw: Any, side: str) -> dict[str, Any]:
    kind = raw.get("type") if isinstance(raw, dict) else raw
    if kind not in FORMATS:
        raise _invalid(f"audio.{side}.format.type", kind)
    if kind != "audio/pcm":
        return {"type": kind}
    if raw.get("rate", 24000) != 24000:
        raise _invalid(f"audio.{side}.format.rate", raw["rate"])
    return {"type": kind, "rate": 24000}


def _turn_detection(raw: Any) -> dict[str, Any] | None:
    if raw is None:
        return None
    param = "audio.input.turn_detection"
    kind = raw.get("type") if isinstance(raw, dict) else raw
    if kind == "semantic_vad":
        merged: dict[str, Any] = _SEMANTIC_VAD | raw
        if merged["eagerness"] not in _EAGERNESS_MS:
            raise _invalid(f"{param}.eagerness", merged["eagerness"])
        return merged
    if kind != "server_vad":
        raise _invalid(f"{param}.type", kind)
    merged = SERVER_VAD | raw
    for name, (low, high) in _BOUNDS.items():
        value = merged[name]
        if value is None and name == "idle_timeout_ms":
            continue
        if not isinstance(value, int | float) or not low <= value <= high:
            raise _invalid(f"{param}.{name}", value)
    return merged


def silence_ms(turns: dict[str, Any]) -> int:
    """How much silence ends the caller's turn."""
    if turns["type"] == "semantic_vad":
        return _EAGERNESS_MS[turns["eagerness"]]
    return int(turns["silence_duration_ms"])


def _invalid(param: str, value: Any) -> Refused:
    return Refused(f"Invalid value: {json.dumps(value)}.", param=f"session.{param}")
