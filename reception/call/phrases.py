"""Fixed phrases as recordings of the model's voice: which there are, and their files."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass

from reception.call.profile import Profile

PREFIX = "phrase_"
"""Of the item ids of what was played from files: the provider has them as text."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A file of 16-bit samples at 24 kHz; without a path the words are spoken as they are
    needed, in about that time."""

    path: str
    duration_ms: int


def fixed(profile: Profile) -> tuple[str, ...]:
    """All that a profile says word for word."""
    phrases = profile.phrases
    named = [phrases.transferring.format(name=entry.name) for entry in profile.directory]
    texts = [text for text in astuple(phrases) if text != phrases.transferring]
    return tuple(dict.fromkeys([*texts, *named]))


def file_name(provider: str, voice: str, text: str) -> str:
    """The same words in another voice are another file."""
    digest = hashlib.sha256("\n".join((provider, voice, text)).encode()).hexdigest()
    return f"{digest[:32]}.wav"
