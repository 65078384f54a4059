"""Recordings on a real disk, read back by other programs' code."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from actors.audio import from_linear
from actors.recording import MAX_WAITING, Recorder, Recording, wav_header
from reception.media.codecs import AudioFormat
from reception.media.playout import CutItem, FrameOut, Playout
from tests.waiting import patience

PCMU, PCMA = AudioFormat("pcmu", 8_000), AudioFormat("pcma", 8_000)
SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "opus": "OPUS"}


@pytest.fixture
async def recorder(tmp_path):
    recorder = Recorder(tmp_path / "recordings")
    yield recorder
    await asyncio.to_thread(recorder.close)


async def saved(recording):
    async with patience():
        return await recording.saved


def tone(hz, rate_hz, seconds):
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    return np.round(8_000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def frames(format, hz, seconds=5.0):
    audio = from_linear(tone(hz, format.rate_hz, seconds), format.name)
    size = format.bytes_per_ms * 20
    return [audio[at : at + size] for at in range(0, len(audio), size)]


def loudest_hz(samples, rate_hz):
    return np.argmax(np.abs(np.fft.rfft(samples))) * rate_hz / len(samples)


def feed(recording, format, begin_s=100.0):
    """5 s of 300 Hz from the caller and of 500 Hz to the caller."""
    pairs = zip(frames(format, 300), frames(format, 500), strict=True)
    for number, (said, heard) in enumerate(pairs):
        at_s = begin_s + number * 0.02
        recording.said(at_s + 0.02, said)
        recording.sent(FrameOut(heard, "i1", number + 1, number * 20, number == 0, at_s))
    recording.end(begin_s + 5.0)


@pytest.mark.parametrize("kind", ["wav", "flac", "opus"])
@pytest.mark.parametrize(
    "format",
    [PCMU, PCMA, *(AudioFormat("l16", rate) for rate in (8_000, 16_000, 24_000, 48_000))],
    ids=lambda format: f"{format.name}-{format.rate_hz}",
)
async def test_the_caller_is_left_and_the_receptionist_right(recorder, tmp_path, kind, format):
    recording = recorder.start("call-1", format, kind, 100.0)
    feed(recording, format)
    path = Path(await saved(recording))
    assert path.parent.parent == tmp_path / "recordings"
    assert path.name == f"call-1.{kind}"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.subtype) == (format.rate_hz, 2, SUBTYPES[kind])
    samples, _ = soundfile.read(path, dtype="int16")
    assert len(samples) == 5 * format.rate_hz
    for channel, hz in ((0, 300), (1, 500)):
        assert abs(loudest_hz(samples[:, channel], format.rate_hz) - hz) < 1
        assert abs(np.abs(samples[format.rate_hz : -format.rate_hz, channel]).max() - 8_000) < 1_000
    assert recording.dropped == 0


async def test_linear_samples_come_back_as_they_were(recorder):
    format = AudioFormat("l16", 16_000)
    for kind in ("wav", "flac"):
        recording = recorder.start("call-1", format, kind, 100.0)
        feed(recording, format)
        samples, _ = soundfile.read(await saved(recording), dtype="int16")
        assert (samples[:, 0] == tone(300, 16_000, 5)).all()
        assert (samples[:, 1] == tone(500, 16_000, 5)).all()


async def test_what_an_interruption_kept_from_the_caller_is_not_on_it(recorder):
    """With the real playout: 2 s of an answer, cut after 330 ms, then another."""
    format = AudioFormat("l16", 8_000)
    recording = recorder.start("call-1", format, "wav", 50.0)
    playout = Playout(format, 20)
    answer = tone(400, 8_000, 2).tobytes()
    playout.add("i1", 0, answer)
    for step in range(17):
        now_s = 51 + step * 0.02
        for frame in playout.due(now_s):
            recording.sent(frame)
    cut = playout.interrupt(51.33)
    recording.cut(cut)
    playout.add("i2", 0, answer)
    playout.complete("i2")
    for step in range(10):
        for frame in playout.due(52.0 + step * 0.25):
            recording.sent(frame)
    recording.end(54.0)
    samples, _ = soundfile.read(await saved(recording), dtype="int16")
    heard = samples[:, 1]
    assert cut == [CutItem("i1", 0, 330)]
    assert not samples[:, 0].any()
    assert not heard[:8_000].any()
    assert (heard[8_000:10_640] == np.frombuffer(answer, np.int16)[:2_640]).all()
    assert not heard[10_640:16_000].any()
    assert (heard[16_000:16_900] == np.frombuffer(answer, np.int16)[:900]).all()
    assert len(heard) == 4 * 8_000


async def test_the_same_name_again_takes_nothing_away(recorder):
    paths = []
    for _ in range(3):
        recording = recorder.start("call-1", PCMU, "wav", 0.0)
        recording.said(0.02, b"\x00" * 160)
        recording.end(0.02)
        paths.append(Path(await saved(recording)).name)
    assert paths == ["call-1.wav", "call-1-2.wav", "call-1-3.wav"]


async def test_two_of_the_same_name_at_once_do_not_share_a_file(recorder):
    both = [recorder.start("call-1", PCMU, "wav", 0.0) for _ in range(2)]
    for recording in both:
        for number in range(250):  # enough for the first block: the .part files are made
            recording.said(number * 0.02, b"\x00" * 160)
    for recording in both:
        recording.end(5.0)
    assert len({await saved(recording) for recording in both}) == 2


async def test_a_call_of_no_length_leaves_no_file(recorder, tmp_path):
    recording = recorder.start("call-1", PCMU, "wav", 7.0)
    recording.end(7.0)
    assert await saved(recording) == ""
    assert not list(tmp_path.rglob("*.wav*"))


async def test_closing_saves_what_is_there(tmp_path):
    recorder = Recorder(tmp_path)
    begin_s = asyncio.get_running_loop().time()
    recordings = [recorder.start(f"call-{n}", PCMU, "flac", begin_s) for n in range(5)]
    for recording in recordings:
        recording.said(begin_s + 1, b"\x00" * 160)
    await asyncio.to_thread(recorder.close)
    for recording in recordings:
        assert soundfile.info(await saved(recording)).frames >= 8_000
    with pytest.raises(ValueError, match="closed"):
        recorder.start("late", PCMU, "wav", 0.0)


def test_closing_a_recorder_that_recorded_nothing(tmp_path):
    Recorder(tmp_path).close()


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [("a/b", "wav", "'a/b' must be"), ("", "wav", "'' must"), ("a", "mp3", "wav, flac, opus")],
)
async def test_names_and_kinds_are_checked(recorder, name, kind, says):
    with pytest.raises(ValueError, match=says):
        recorder.start(name, PCMU, kind, 0.0)


async def test_whoever_stopped_waiting_disturbs_nobody(recorder):
    impatient, patient = (recorder.start(name, PCMU, "wav", 0.0) for name in "ab")
    impatient.saved.cancel()
    for recording in (impatient, patient):
        recording.said(0.02, b"\x00" * 160)
        recording.end(0.02)
    assert (await saved(patient)).endswith("b.wav")


def test_a_loop_that_is_gone_loses_no_recording(tmp_path):
    recorder = Recorder(tmp_path)

    async def begin():
        now_s = time.monotonic()
        recorder.start("call-1", PCMU, "wav", now_s).said(now_s, b"\x00" * 160)

    asyncio.run(begin())
    recorder.close()
    assert [path.name for path in tmp_path.rglob("*.wav")] == ["call-1.wav"]


async def test_a_folder_that_can_not_be_made_fails_that_recording_only(tmp_path):
    (tmp_path / "taken").write_text("a file")
    recorder = Recorder(tmp_path / "taken")
    recording = recorder.start("call-1", PCMU, "wav", 100.0)
    feed(recording, PCMU)
    assert await saved(recording) == ""
    (tmp_path / "taken").unlink()
    recording = recorder.start("call-2", PCMU, "wav", 100.0)
    feed(recording, PCMU)
    assert (await saved(recording)).endswith("call-2.wav")
    await asyncio.to_thread(recorder.close)


@pytest.mark.parametrize("kind", ["wav", "flac", "opus"])
async def test_a_full_disk_ends_the_recording_not_the_call(recorder, tmp_path, kind):
    """As when a disk is full: files may not grow past 4 kB any more."""
    recording = recorder.start("call-1", PCMU, kind, 100.0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, before[1]))
    try:
        feed(recording, PCMU)
        assert await saved(recording) == ""
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.rglob("call-1*")] == [f"call-1.{kind}.part"]


async def test_frames_past_the_bound_are_dropped_and_counted_commands_are_not():
    recording = Recording("call-1", PCMU, "wav", 0.0)
    for number in range(MAX_WAITING + 5):
        recording.said(number * 0.02, b"\xff" * 160)
    recording.cut([CutItem("i1", 0, 0), CutItem("i2", 0, 0)])
    recording.end(1.0)
    assert recording.dropped == 5
    assert [what for what, _ in recording.waiting][-3:] == ["cut", "cut", "finish"]


KILLED = """
import asyncio, os, signal, sys, time
from pathlib import Path
from actors.recording import Recorder
from tests.actors.test_recording import PCMU, feed

async def main():
    recording = Recorder(Path(sys.argv[1])).start("call-1", PCMU, sys.argv[2], 100.0)
    for begin_s in (100.0, 105.0):
        feed(recording, PCMU, begin_s)
        recording.waiting.pop()
    while recording.waiting:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["wav", "flac", "opus"])
def test_a_killed_process_leaves_a_file_that_plays_and_gets_its_name(tmp_path, kind):
    command = [sys.executable, "-c", KILLED, str(tmp_path), kind]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], timeout=60)
    assert done.returncode == -signal.SIGKILL
    (path,) = tmp_path.rglob("call-1*")
    assert path.name == f"call-1.{kind}.part"
    with soundfile.SoundFile(path) as file:
        samples = file.read(5 * 8_000, dtype="int16")
    assert len(samples) == 5 * 8_000
    assert abs(loudest_hz(samples[:, 1], 8_000) - 500) < 1
    if kind == "wav":
        with wave.open(str(path)) as file:
            assert file.getnframes() == 8 * 8_000  # all but the window of 2 s
    assert Recorder(tmp_path).adopt() == [path.with_suffix("")]
    assert [each.name for each in tmp_path.rglob("call-1*")] == [f"call-1.{kind}"]


async def test_a_recording_that_goes_on_is_not_adopted(recorder, tmp_path):
    recording = recorder.start("call-1", PCMU, "wav", 100.0)
    feed(recording, PCMU)
    finish = recording.waiting.pop()
    async with patience():
        while not list(tmp_path.rglob("*.part")):
            await asyncio.sleep(0.01)
    assert Recorder(tmp_path / "recordings").adopt() == []
    recording.waiting.append(finish)
    assert (await saved(recording)).endswith("call-1.wav")


def test_a_file_that_was_only_just_made_is_not_adopted(tmp_path):
    folder = tmp_path / "2026-11-30"
    folder.mkdir()
    (folder / "call-1.wav.part").touch()  # its owner is about to lock it
    assert Recorder(tmp_path).adopt() == []


def test_a_wav_header_is_right_at_every_size(tmp_path):
    sizes = [0, 4, 400_000, 0xFFFF_FFFF - 75, 0xFFFF_FFFF - 71, 9 * 2**30]
    for smaller, size in pairwise(sizes):
        assert len(wav_header(8_000, smaller)) == len(wav_header(8_000, size)) == 80
    for size in sizes:
        path = tmp_path / f"{size}.wav"
        path.write_bytes(wav_header(16_000, size // 4 * 4))
        os.truncate(path, 80 + size // 4 * 4)  # sparse: takes no room
        info = soundfile.info(path)
        assert (info.frames, info.samplerate, info.channels) == (size // 4, 16_000, 2)
        assert info.format == ("WAV" if size < 0xFFFF_FFFF - 72 else "RF64")
