"""Tone bursts say who sent them, whatever a bridge makes of the audio."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.bridges.tones import (
    _LINEAR,
    FRAMES_PER_MARK,
    MARKS_PER_WORD,
    PCM24K,
    PCMU,
    SPEAKERS,
    WORDS,
    Ear,
    Voice,
    frames,
    mark_number,
)


def spoken(coding: str, speaker: int, words: int) -> tuple[bytes, list[int]]:
    voice = Voice(coding, speaker)
    said = [each for _ in range(words) for each in voice.word()]
    return b"".join(frame for frame, _ in said), [mark for _, mark in said if mark is not None]


def test_mu_law_is_that_of_g711() -> None:
    # ITU-T G.711, table 2a: the ends, the zeros, and a step of the first segment.
    codes = {0x80: 32124, 0x00: -32124, 0xFF: 0, 0x7F: 0, 0xFE: 8, 0x8F: 16764}
    assert {code: int(_LINEAR[code]) for code in codes} == codes


@settings(max_examples=40)
@given(
    coding=st.sampled_from([PCMU, PCM24K]),
    speaker=st.integers(0, SPEAKERS - 1),
    first=st.integers(0, WORDS - 1),
    piece=st.integers(7, 4_000),
)
def test_words_are_understood_in_pieces_of_any_length(
    coding: str, speaker: int, first: int, piece: int
) -> None:
    voice = Voice(coding, speaker)
    voice._word = first
    said = [each for _ in range(2) for each in voice.word()]
    audio = b"".join(frame for frame, _ in said)
    size = piece * (2 if coding == PCM24K else 1)
    ear, heard = Ear(coding), []
    for at in range(0, len(audio), size):
        heard += ear.hear(audio[at : at + size], at)
    marks = [mark for _, mark in said if mark is not None]
    assert [mark for mark, _ in heard] == marks
    frame_bytes = len(said[0][0])
    onsets = [FRAMES_PER_MARK * frame_bytes * number for number in range(len(marks))]
    assert [at for _, at in heard] == [onset // size * size for onset in onsets]
    assert ear.damaged == 0


@pytest.mark.parametrize("quality", ["QQ", "LQ", "HQ", "VHQ"])
def test_words_survive_resampling_there_and_back(quality: str) -> None:
    audio, marks = spoken(PCMU, 201, 3)
    wave = np.concatenate((_LINEAR[np.frombuffer(audio, np.uint8)], np.zeros(800)))
    wide = soxr.resample(wave, 8_000, 24_000, quality)
    ear = Ear(PCM24K)
    heard = ear.hear(wide.astype("<i2").tobytes(), 7)
    assert [mark for mark, _ in heard] == marks
    narrow = soxr.resample(wide, 24_000, 8_000, quality)
    codes = np.abs(narrow[:, None] - _LINEAR[None, :]).argmin(axis=1).astype(np.uint8)
    assert [mark for mark, _ in Ear(PCMU).hear(codes.tobytes(), 7)] == marks


def test_a_word_with_a_hole_is_damaged_and_the_next_is_understood() -> None:
    voice, ear = Voice(PCMU, 3), Ear(PCMU)
    torn = [frame for frame, _ in voice.word()]
    torn[2 * FRAMES_PER_MARK] = frames(PCMU)[-1]
    heard = ear.hear(b"".join(torn), 1)
    heard += ear.hear(b"".join(frame for frame, _ in voice.word()), 2)
    assert heard == [(mark_number(3, 1, position), 2) for position in range(MARKS_PER_WORD)]
    assert ear.damaged == 1


def test_who_comes_into_the_middle_of_a_word_waits_for_the_next() -> None:
    audio, marks = spoken(PCMU, 9, 2)
    heard = Ear(PCMU).hear(audio[len(audio) // 4 :], 0)
    assert [mark for mark, _ in heard] == marks[MARKS_PER_WORD:]


def test_there_are_so_many_speakers_and_no_more() -> None:
    with pytest.raises(ValueError, match="speaker is 256: must be 0 to 255"):
        Voice(PCMU, SPEAKERS)
