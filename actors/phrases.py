"""Recordings of a profile's fixed phrases: made once by the model, and played."""

from __future__ import annotations

import asyncio
import functools
import re
import wave
from dataclasses import replace

from actors.audio import Converter
from actors.phrase_files import FORMAT
from actors.provider import ProviderSocket
from reception.call.profile import Profile
from reception.call.prompt import configuration, say_exactly
from reception.errors import Unavailable
from reception.media.adaptation import Resampler
from reception.media.codecs import AudioFormat
from reception.provider import codec_for
from reception.provider.base import (
    AssistantTranscript,
    AudioDelta,
    DialPlan,
    ProviderFault,
    Respond,
    ResponseDone,
)

TRIES = 3
_SAID_S = 60.0
_REST = bytes(FORMAT.bytes_per_ms * 40)  # what a resampler keeps back


@functools.lru_cache(maxsize=256)
def sound(path: str, leg_format: AudioFormat) -> bytes:
    """A recording in the format of a leg. Raises OSError, wave.Error or EOFError."""
    with wave.open(path, "rb") as file:
        pcm24 = file.readframes(file.getnframes())
    return Converter(FORMAT, leg_format, Resampler.HIGH).convert(pcm24 + _REST)


async def make(plan: DialPlan, profile: Profile, voice: str, text: str) -> bytes:
    """The model's voice with these words, 16-bit samples at 24 kHz.

    Args:
        plan: whom to dial; its audio format and opening are set here.
        voice: the deployment's, where the profile has none.

    Raises:
        Unavailable: no session, no answer, or other words each time.
    """
    codec = codec_for(plan.provider)
    session = configuration(profile, "pcm24k", voice)
    commands = (replace(session, tools=(), turn_detection=None), say_exactly(text), Respond())
    opening = tuple(codec.encode(command) for command in commands)
    said = ""
    for _ in range(TRIES):
        socket = await ProviderSocket.dial(replace(plan, audio_format="pcm24k", opening=opening))
        try:
            async with asyncio.timeout(_SAID_S):
                audio, said = await _answer(socket, plan.provider)
        except TimeoutError:
            raise Unavailable(f"no answer within {_SAID_S:g} s") from None
        finally:
            await socket.close()
        if _words(said) == _words(text):
            return audio
    raise Unavailable(f"asked for {text!r}, the model said {said!r}")


async def _answer(socket: ProviderSocket, provider: str) -> tuple[bytes, str]:
    codec, audio, said = codec_for(provider), bytearray(), ""
    while (raw := await socket.receive()) is not None:
        match codec.decode(raw):
            case AudioDelta(audio=piece):
                audio += piece
            case AssistantTranscript(text=text, final=True):
                said += text
            case ResponseDone(status="completed"):
                return bytes(audio), said
            case ResponseDone() | ProviderFault() as event:
                raise Unavailable(f"the provider did not answer: {event}")
    raise Unavailable("the provider closed the session")


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
