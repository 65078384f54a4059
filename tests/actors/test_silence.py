"""No word is clipped where silence is not sent: real speech, on lines quiet and noisy."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from actors.audio import Samples, from_linear
from actors.caller_leg import CallerLeg
from reception.media.adaptation import PLANS, Plan
from reception.media.leg import LegConfig
from tests.actors.signal.sound import FULL_SCALE, noise
from tests.actors.signal.sounds import SENTENCES
from voice.audio import Ear
from voice.speech.synthesizer import PICO_RATE_HZ, VOICES, pico
from voice.vad import SpeechBegan, SpeechOver, VoiceActivity

RATE_HZ, FRAME = 8_000, 160
SILENCE_MS = (300, 800)
SHORT = ("Yes.", "Tom Keller.", "Four, five, six.", "Hello?")
QUIET = 10 ** (-30 / 20)  # against the peak: below this no word is understood


@pytest.fixture(scope="module")
def words() -> list[Samples]:
    """Sentences and single words without the silence around them, at 8 kHz."""
    found = []
    for number, text in enumerate([*SENTENCES, *SHORT]):
        voice = list(VOICES.values())[number % len(VOICES)]
        sound = soxr.resample(np.frombuffer(pico(text, voice), np.int16), PICO_RATE_HZ, RATE_HZ)
        loud = np.flatnonzero(np.abs(sound) > QUIET * np.abs(sound).max())
        found.append(sound[loud[0] : loud[-1] + 1])
    return found


def line(
    words: list[Samples], level_dbov: float, noise_dbov: float, seed: int
) -> tuple[Samples, list[tuple[int, int]]]:
    """Each one once, at any sample, 1 to 4 s apart; and where they begin and end."""
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    spans, at = [], 0
    for each in words:
        gap = int(rng.integers(1 * RATE_HZ, 4 * RATE_HZ))
        power = np.sqrt(np.mean(each.astype(np.float64) ** 2))
        parts += [np.zeros(gap), each * (FULL_SCALE * 10 ** (level_dbov / 20) / power)]
        spans.append((at + gap, at + gap + len(each)))
        at += gap + len(each)
    sound = np.concatenate([*parts, np.zeros(4 * RATE_HZ)])
    sound += noise(rng, len(sound), noise_dbov)
    return np.clip(sound, -32768, 32767).astype(np.int16), spans


def sent(leg: CallerLeg, sound: Samples, codec: str = "pcmu") -> tuple[list[int], bytes]:
    """Numbers of the frames that are sent, and what was."""
    numbers: list[int] = []
    audio = bytearray()
    for number in range(len(sound) // FRAME):
        frame = from_linear(sound[number * FRAME : (number + 1) * FRAME], codec)
        heard = leg.receive(frame, number + 1, number * 0.02, speaking=False)
        assert heard.audio == [frame]
        numbers += range(number + 1 - len(heard.sent), number + 1)
        audio += b"".join(heard.sent)
    return numbers, bytes(audio)


def caller(plan: Plan = PLANS[0]) -> CallerLeg:
    config = LegConfig("pcmu", RATE_HZ, 20, sends_marks=False, silence_ms=SILENCE_MS)
    return CallerLeg(config, plan)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise_dbov", [-90.0, -65.0, -50.0])
@pytest.mark.parametrize("level_dbov", [-15.0, -25.0, -35.0])
def test_no_word_is_clipped(
    words: list[Samples], level_dbov: float, noise_dbov: float, seed: int
) -> None:
    sound, spans = line(words, level_dbov, noise_dbov, seed)
    numbers, _ = sent(caller(), sound)
    assert numbers == sorted(set(numbers))
    there = set(numbers)
    for begin, end in spans:
        missing = set(range(begin // FRAME, -(-end // FRAME))) - there
        assert not missing, f"{len(missing)} frames of the words at {begin / RATE_HZ:.2f} s"
    spoken_ms = sum(1000 * (end - begin) // RATE_HZ for begin, end in spans)
    around_ms = SILENCE_MS[0] + SILENCE_MS[1] + 100  # and what is taken for a voice beside it
    assert 20 * len(numbers) <= spoken_ms + around_ms * (len(spans) + 1)


@pytest.mark.parametrize("noise_dbov", [-90.0, -50.0])
def test_the_provider_finds_the_same_turns(words: list[Samples], noise_dbov: float) -> None:
    sound, spans = line(words, -25.0, noise_dbov, 7)

    def turns(audio: bytes) -> list[type]:
        activity, ear = VoiceActivity(0.5, 500), Ear("pcmu")
        return [type(each) for each in activity.feed(ear.hear(audio))]

    whole = turns(from_linear(sound, "pcmu"))
    numbers, some = sent(caller(), sound)
    assert len(numbers) < 0.85 * len(sound) // FRAME
    assert turns(some) == whole
    assert whole.count(SpeechBegan) >= len(spans)
    assert whole.count(SpeechBegan) == whole.count(SpeechOver)


def test_a_steady_hum_is_not_sent_for_ever() -> None:
    at_s = np.arange(20 * RATE_HZ) / RATE_HZ
    hum = (300 * np.sin(2 * np.pi * 50 * at_s)).astype(np.int16)
    numbers, _ = sent(caller(), hum)
    assert len(numbers) < 100  # 2 s


def test_all_is_sent_while_the_provider_hears_speech_or_the_worker_has_no_time() -> None:
    quiet = np.zeros(10 * RATE_HZ, dtype=np.int16)
    count = len(quiet) // FRAME
    leg = caller()
    leg.provider_hears(True)
    assert len(sent(leg, quiet)[0]) == count
    assert len(sent(caller(PLANS[-1]), quiet)[0]) == count
    leg = caller()
    assert len(sent(leg, quiet)[0]) == 40
    leg.adapt(PLANS[-1])
    frame = bytes([255]) * FRAME
    assert len(leg.receive(frame, count + 1, 10.0, speaking=False).sent) == 1 + 15
