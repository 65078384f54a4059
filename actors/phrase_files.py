"""Files of a profile's fixed phrases: found and written."""

from __future__ import annotations

import wave
from pathlib import Path

from reception.call.phrases import Recorded, file_name, fixed
from reception.call.profile import Profile
from reception.media.codecs import PROVIDER_FORMATS

FORMAT = PROVIDER_FORMATS["pcm24k"]
_HEADER_BYTES = 44


def recordings(folder: str, provider: str, voice: str, profile: Profile) -> dict[str, Recorded]:
    """The phrases that there are recordings of."""
    found = {}
    for text in fixed(profile):
        path = Path(folder, file_name(provider, profile.voice or voice, text))
        if path.is_file():
            audio_bytes = path.stat().st_size - _HEADER_BYTES
            found[text] = Recorded(str(path), round(FORMAT.duration_ms(audio_bytes)))
    return found


def write(path: Path, pcm24: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    with wave.open(str(beside), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(FORMAT.rate_hz)
        file.writeframes(pcm24)
    beside.replace(path)
