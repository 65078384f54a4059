"""Stereo recordings of calls: caller left, receptionist right, streamed to disk."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import structlog

from actors.audio import Samples, to_linear
from reception.media.codecs import AudioFormat
from reception.media.playout import CutItem, FrameOut
from reception.media.timeline import Timeline

log = structlog.get_logger()

MAX_WAITING = 2_000  # events of one recording: 10 s at 10 ms a frame, both ways
POLL_S = 0.1
YIELD_S = 50e-6  # between two recordings: the event loop gets the interpreter


class Recording:
    """The event loop's side of one call's recording.

    A frame costs a tuple in a deque, 0.2 µs; everything else happens in the
    recorder's thread. When that is more than `MAX_WAITING` events behind (the
    disk stands still), further frames are dropped and counted in `dropped`.
    All times are of the monotonic clock, in seconds.
    """

    def __init__(self, name: str, format: AudioFormat, kind: str, begin_s: float) -> None:
        self.name, self.format, self.kind = name, format, kind
        self.dropped = 0
        self.begin_s = begin_s
        self.waiting: deque[tuple[str, tuple[Any, ...]]] = deque()
        self.saved: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def said(self, at_s: float, audio: bytes, lost: int = 0) -> None:
        """A frame of the caller's, in the leg's format, that arrived at `at_s`
        after `lost` frames that never will."""
        self._put("said", (at_s, audio, lost))

    def sent(self, frame: FrameOut) -> None:
        """A frame for the leg, which plays it at its `starts_s`."""
        self._put("heard", (frame.starts_s, frame.audio, frame.item_id))

    def cut(self, items: Iterable[CutItem]) -> None:
        """Barge-in: what the leg was sent but the caller did not hear."""
        for item in items:
            self.waiting.append(("cut", (item.item_id, item.heard_ms)))

    def end(self, now_s: float) -> None:
        """The call is over; may be called again. `saved` gets the file's path once
        it is complete under its name, or "" when it could not be written."""
        self.waiting.append(("finish", (now_s,)))

    def _put(self, what: str, arguments: tuple[Any, ...]) -> None:
        if len(self.waiting) >= MAX_WAITING:
            self.dropped += 1
        else:
            self.waiting.append((what, arguments))


class Recorder:
    """Writes the recordings of one process, in one thread of its own.

    Files are `directory`/YYYY-MM-DD/NAME.KIND (the day is UTC's), for the owner
    only; while a call is on, .part is added and the file locked. A .part file of a
    process that was killed, or whose disk was full, can be played up to its last two
    or three seconds: `adopt` gives it its name.

    The whole of it, both directions at 8 kHz, costs 0.1 % of a core a call as WAV
    or FLAC and 0.5 to 1 % as Opus, whose encoder runs without the interpreter's lock.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[Recording, _Tape] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self, name: str, format: AudioFormat, kind: str, begin_s: float) -> Recording:
        """Begins a recording. Call it in the event loop.

        Args:
            name: of the file, without folder and ending.
            format: coding of both directions: "pcmu", "pcma" or "l16" at 8, 16,
                24 or 48 kHz. The file has this rate.
            kind: "wav", "flac" or "opus" (Ogg).
            begin_s: now, monotonic.

        Raises:
            ValueError: the name is no file's name or the kind is unknown.
        """
        if not name or "/" in name or "\0" in name:
            raise ValueError(f"name {name!r} must be a file's name without a folder")
        if kind not in _FILES:
            raise ValueError(f"kind {kind!r} is not one of {', '.join(_FILES)}")
        recording = Recording(name, format, kind, begin_s)
        folder = self._directory / time.strftime("%Y-%m-%d", time.gmtime())
        with self._changed:
            if self._closing:
                raise ValueError("the recorder is closed")
            self._open[recording] = _Tape(recording, folder)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
                self._thread.start()
            self._changed.notify()
        return recording

    def adopt(self) -> list[Path]:
        """Finishes what processes that are gone left: a .part file that nobody has
        locked gets its name; one with nothing in it may be about to be locked and is
        left alone. Blocks: call it through `asyncio.to_thread`.

        Returns:
            The files that are whole names now.
        """
        adopted = []
        for part in sorted(self._directory.glob("*/*.part")):
            path = part.with_suffix("")
            with contextlib.suppress(OSError), part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if part.stat().st_size and not path.exists():
                    part.rename(path)
                    adopted.append(path)
        return adopted

    def close(self, timeout_s: float = 10.0) -> None:
        """Ends every recording and waits until all are saved, but no longer than
        `timeout_s`. Blocks: call it through `asyncio.to_thread`."""
        with self._changed:
            self._closing = True
            for recording in self._open:
                recording.end(time.monotonic())
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._closing:
                    self._changed.wait(POLL_S if self._open else None)
                tapes = list(self._open.items())
                if self._closing and not tapes:
                    return
            for recording, tape in tapes:
                if tape.catch_up():
                    with self._changed:
                        del self._open[recording]
                time.sleep(YIELD_S)


class _Tape:
    """The thread's side of one recording: timeline and file."""

    def __init__(self, recording: Recording, folder: Path) -> None:
        self._recording = recording
        self._folder = folder
        self._file: _File | None = None
        self._part = self._path = Path()
        self._failed, self._saved = False, ""
        self._loop = recording.saved.get_loop()
        timeline = Timeline(recording.format, recording.begin_s, self._write)
        self._do: dict[str, Callable[..., None]] = {
            "said": timeline.said,
            "heard": timeline.heard,
            "cut": timeline.cut,
            "finish": timeline.finish,
        }

    def catch_up(self) -> bool:
        """Does what is waiting; True when the recording is over."""
        waiting = self._recording.waiting
        while waiting:
            what, arguments = waiting.popleft()
            if not self._failed:
                self._try(self._do[what], *arguments)
            if what == "finish":
                self._try(self._save)
                self._tell(self._saved)
                return True
        return False

    def _try(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:  # a full disk, or whatever libsndfile has to say
            if not self._failed:
                log.error("recording failed", call_id=self._recording.name, error=str(error))
            self._failed = True

    def _write(self, caller: bytes, heard: bytes) -> None:
        if self._file is None:
            self._file = self._create()
        coding = self._recording.format.name
        left, right = to_linear(caller, coding), to_linear(heard, coding)
        self._file.write(np.stack((left, right), axis=1))

    def _create(self) -> _File:
        """Makes the .part file under a name that no other has or had."""
        recording = self._recording
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in itertools.count(1):
            name = recording.name if number == 1 else f"{recording.name}-{number}"
            self._path = self._folder / f"{name}.{recording.kind}"
            self._part = self._path.with_name(self._path.name + ".part")
            if not self._path.exists():
                with contextlib.suppress(FileExistsError):
                    fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                    fcntl.flock(fd, fcntl.LOCK_EX)  # before there is anything to adopt
                    break
        return _FILES[recording.kind](fd, recording.format.rate_hz)

    def _save(self) -> None:
        """Closes the file; it gets its name when all of it was written."""
        file, self._file = self._file, None
        if file is None:
            return
        file.close()
        if not self._failed:
            self._part.rename(self._path)
            self._saved = str(self._path)

    def _tell(self, path: str) -> None:
        def tell() -> None:
            if not self._recording.saved.done():
                self._recording.saved.set_result(path)

        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits
            self._loop.call_soon_threadsafe(tell)


# ------------------------------------------------------------- files


class _File(Protocol):
    """A file of 16-bit stereo samples, shape (samples, 2)."""

    def write(self, block: Samples) -> None: ...

    def close(self) -> None: ...


def wav_header(rate_hz: int, data_bytes: int) -> bytes:
    """80 bytes: a WAV header of 16-bit stereo, RF64 from 4 GiB on (EBU Tech 3306).

    Its size never changes: where RF64 has its `ds64`, a smaller file has a chunk
    of the same size that every reader skips.
    """
    riff_bytes = data_bytes + 72
    large = riff_bytes > 0xFFFF_FFFF
    sizes = struct.pack("<QQQL", riff_bytes, data_bytes, data_bytes // 4, 0) if large else bytes(28)
    return struct.pack(
        "<4sL4s4sL28s4sLHHLLHH4sL",
        *(b"RF64" if large else b"RIFF", min(riff_bytes, 0xFFFF_FFFF), b"WAVE"),
        *(b"ds64" if large else b"JUNK", 28, sizes),
        *(b"fmt ", 16, 1, 2, rate_hz, rate_hz * 4, 4, 16),
        *(b"data", 0xFFFF_FFFF if large else data_bytes),
    )


class _WavFile:
    """A WAV file that is complete after every `write`: the sizes in its header
    are set right each time, and only after the samples they count."""

    def __init__(self, fd: int, rate_hz: int) -> None:
        self._file = os.fdopen(fd, "r+b")
        self._rate_hz = rate_hz
        self._data_bytes = 0
        self._file.write(wav_header(rate_hz, 0))

    def write(self, block: Samples) -> None:
        self._file.write(block.astype("<i2", copy=False).tobytes())
        self._file.flush()
        self._data_bytes += block.nbytes
        os.pwrite(self._file.fileno(), wav_header(self._rate_hz, self._data_bytes), 0)

    def close(self) -> None:
        with self._file:
            os.fsync(self._file.fileno())


class _SoundFile:
    """Any kind of file that libsndfile writes."""

    def __init__(self, fd: int, rate_hz: int, format: str, subtype: str) -> None:
        # Here and not above: 6 MB and 50 ms that a process without such
        # recordings need not spend.
        import soundfile  # noqa: PLC0415 - only where something is recorded

        self._fd = fd
        options = {"subtype": subtype, "format": format, "closefd": False}
        self._file = soundfile.SoundFile(fd, "w", rate_hz, 2, **options)

    def write(self, block: Samples) -> None:
        self._file.write(block)

    def close(self) -> None:
        try:
            self._file.close()
            os.fsync(self._fd)
        finally:
            os.close(self._fd)


_FILES: dict[str, Callable[[int, int], _File]] = {
    "wav": _WavFile,
    "flac": partial(_SoundFile, format="FLAC", subtype="PCM_16"),
    "opus": partial(_SoundFile, format="OGG", subtype="OPUS"),
}
