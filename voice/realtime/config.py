"""A session's configuration: what clients may set, and what is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from reception.money.savings.billing import MEMORY_TOKENS
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
_AUDIO = {
    "input": frozenset({"format", "transcription", "noise_reduction", "turn_detection"}),
    "output": frozenset({"format", "voice", "speed"}),
}
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
    _known("", change, _KNOWN)
    new = copy.deepcopy(config)
    for name, value in change.items():
        if name in _CHECKS and not _CHECKS[name](value):
            raise _invalid(name, value)
        if name not in ("audio", "model", "type"):
            new[name] = value
    _merge_audio(new["audio"], _object("audio", change), audio_started)
    return new


def _is_limit(value: Any) -> bool:
    return value == "inf" or (type(value) is int and 1 <= value <= 4096)


def _are_tools(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(tool, dict) and isinstance(tool.get("name"), str) for tool in value
    )


def _is_truncation(value: Any) -> bool:
    if not isinstance(value, dict):
        return value in ("auto", "disabled")
    limits = value.get("token_limits") or {}
    return (
        set(value) <= {"type", "retention_ratio", "token_limits"}
        and value.get("type") == "retention_ratio"
        and isinstance(value.get("retention_ratio"), int | float)
        and 0 <= value["retention_ratio"] <= 1
        and isinstance(limits, dict)
        and set(limits) <= {"post_instructions"}
        and all(type(limit) is int and limit > 0 for limit in limits.values())
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "type": lambda value: value == "realtime",
    "output_modalities": lambda value: value in (["audio"], ["text"]),
    "max_output_tokens": _is_limit,
    "tools": _are_tools,
    "tool_choice": lambda value: isinstance(value, dict) or value in ("auto", "none", "required"),
    "instructions": lambda value: isinstance(value, str),
    "truncation": _is_truncation,
}


def _known(where: str, given: dict[str, Any], known: frozenset[str]) -> None:
    for name in given:
        if name not in known:
            param = f"session.{where}{name}"
            raise Refused(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def _object(name: str, given: dict[str, Any], where: str = "") -> dict[str, Any]:
    """The object given under a name, {} when there is none."""
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _invalid(f"{where}{name}", value)
    return value


def _merge_audio(audio: dict[str, Any], change: dict[str, Any], audio_started: bool) -> None:
    _known("audio.", change, frozenset({"input", "output"}))
    for side in ("input", "output"):
        given = _object(side, change, "audio.")
        _known(f"audio.{side}.", given, _AUDIO[side])
        if given.get("format") is not None:
            wanted = _format(given["format"], side)
            if audio_started and wanted != audio[side]["format"] and side == "input":
                raise Refused(
                    "Cannot change the audio format after audio was received.",
                    code="cannot_update_audio_format",
                    param=f"session.audio.{side}.format",
                )
            audio[side]["format"] = wanted
    into = _object("input", change)
    for name in ("transcription", "noise_reduction"):
        if name in into:
            audio["input"][name] = _object(name, into, "audio.input.") or None
    if "turn_detection" in into:
        audio["input"]["turn_detection"] = _turn_detection(into["turn_detection"])
    out = _object("output", change)
    if out.get("voice") is not None:
        if not isinstance(out["voice"], str | dict):
            raise _invalid("audio.output.voice", out["voice"])
        audio["output"]["voice"] = out["voice"]
    if out.get("speed") is not None:
        speed = out["speed"]
        if not isinstance(speed, int | float) or not 0.25 <= speed <= 1.5:
            raise _invalid("audio.output.speed", speed)
        audio["output"]["speed"] = float(speed)


def _format(raw: Any, side: str) -> dict[str, Any]:
    kind = raw.get("type") if isinstance(raw, dict) else raw
    if not isinstance(kind, str) or kind not in FORMATS:
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
    if not isinstance(raw, dict):
        raise _invalid(param, raw)
    kind = raw.get("type")
    if kind == "semantic_vad":
        _known(f"{param}.", raw, frozenset(_SEMANTIC_VAD))
        merged: dict[str, Any] = _SEMANTIC_VAD | raw
        eagerness = merged["eagerness"]
        if not isinstance(eagerness, str) or eagerness not in _EAGERNESS_MS:
            raise _invalid(f"{param}.eagerness", merged["eagerness"])
        return merged
    if kind != "server_vad":
        raise _invalid(f"{param}.type", kind)
    _known(f"{param}.", raw, frozenset(SERVER_VAD))
    merged = SERVER_VAD | raw
    for name, (low, high) in _BOUNDS.items():
        value = merged[name]
        if value is None and name == "idle_timeout_ms":
            continue
        if not isinstance(value, int | float) or not low <= value <= high:
            raise _invalid(f"{param}.{name}", value)
    return merged


def cut_back(config: dict[str, Any]) -> tuple[int, int]:
    """The tokens beyond which the conversation is cut back, and how many are kept."""
    truncation = config["truncation"]
    if not isinstance(truncation, dict):
        return MEMORY_TOKENS, MEMORY_TOKENS
    limits = truncation.get("token_limits") or {}
    limit = limits.get("post_instructions", MEMORY_TOKENS)
    return limit, int(limit * truncation["retention_ratio"])


def audio_format(config: dict[str, Any], side: str) -> str:
    """A provider format's name; `side` is "input" or "output"."""
    return FORMATS[config["audio"][side]["format"]["type"]]


def silence_ms(turns: dict[str, Any]) -> int:
    """How much silence ends the caller's turn."""
    if turns["type"] == "semantic_vad":
        return _EAGERNESS_MS[turns["eagerness"]]
    return int(turns["silence_duration_ms"])


def _invalid(param: str, value: Any) -> Refused:
    return Refused(f"Invalid value: {json.dumps(value)}.", param=f"session.{param}")
