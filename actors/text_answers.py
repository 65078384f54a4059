"""One call's answers that come as text, and are spoken at this node."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing

import structlog

from actors.audio import Converter
from actors.speech import sound_of
from reception.errors import ReceptionError
from reception.media.adaptation import Resampler
from reception.media.codecs import PROVIDER_FORMATS, AudioFormat
from reception.media.leg import Speaks
from reception.media.playout import CutItem
from reception.media.speech import Piece, Speech
from reception.provider.base import (
    AddText,
    AssistantTranscript,
    DeleteItem,
    ProviderCommand,
    ResponseDone,
)

log = structlog.get_logger()

_SOURCE = PROVIDER_FORMATS["pcm24k"]
_STEP_BYTES = 100 * _SOURCE.bytes_per_ms  # converted at a time: other calls' frames wait for it
_REST = bytes(_SOURCE.bytes_per_ms * 40)  # what a resampler keeps back
_TRIES = 3
_AGAIN_S = 0.5
_MOST_WAITING = 500  # pieces: then nobody listens, or nothing is spoken


class TextAnswers:
    """Words in, sound out, one piece after the other. An answer's end is told once its
    last sound is there, as it would be if the provider had made the sound.

    Args:
        speaks: who speaks here.
        leg_format: of the sound.
        resampler: the quality of its rate conversion.
        on_audio: takes an item's next sound.
        on_complete: told that an item has no more, and whether there was any, unless
            there was nothing to speak.
        on_over: takes the provider's message of an answer's end.
        tell: takes commands for the provider.
    """

    def __init__(
        self,
        speaks: Speaks,
        leg_format: AudioFormat,
        resampler: Resampler,
        on_audio: Callable[[str, bytes], None],
        on_complete: Callable[[str, bool], None],
        on_over: Callable[[bytes], None],
        tell: Callable[[ProviderCommand], None],
    ) -> None:
        self._speaks, self._leg_format, self._resampler = speaks, leg_format, resampler
        self._on_audio, self._on_complete = on_audio, on_complete
        self._on_over, self._tell = on_over, tell
        self._speech = Speech()
        self._pieces: deque[Piece] = deque()
        self._task: asyncio.Task[None] | None = None
        self._sounded: dict[str, bool] = {}  # items being spoken, and whether sound came
        self._tries = _TRIES  # one while nobody speaks
        self._held: list[bytes] = []
        self._making = False  # the provider makes an answer
        self._edits: list[ProviderCommand] = []  # for when it is made

    @property
    def busy(self) -> bool:
        """There are words that have no sound yet."""
        return bool(self._pieces)

    # ------------------------------------------------------------- words

    def began(self) -> None:
        """The provider makes an answer."""
        self._making = True

    def words(self, event: AssistantTranscript) -> None:
        """The next words of an answer, or that there are no more."""
        if event.final:
            self._speak(self._speech.finish(event.item_id))
        else:
            self._speak(self._speech.say(event.item_id, event.text))

    def read(self, item_id: str, text: str) -> None:
        """A whole item of our own."""
        self._speak([*self._speech.say(item_id, text), *self._speech.finish(item_id)])

    def done(self, event: ResponseDone, raw: bytes) -> None:
        """An answer is made: its end is told once it has its sound. Of one that was
        cancelled nothing more is said."""
        self._over()
        if event.status == "cancelled":
            self._forget_waiting()
        self._speak(self._speech.finish_all())
        self._held.append(raw)
        self._release_if_idle()

    def lost(self) -> None:
        """The provider's session is gone: what came of an answer is all there is."""
        self._edits.clear()
        self._over()
        self._speak(self._speech.finish_all())

    def _over(self) -> None:
        self._making = False
        edits, self._edits = self._edits, []
        for command in edits:
            self._tell(command)

    # ------------------------------------------------------------- cut

    def stop(self, cut: list[CutItem]) -> list[CutItem]:
        """Nothing more of these items is said, nor of what has no sound yet; all of them."""
        known = {item.item_id for item in cut}
        silent = [each for each in self._forget_waiting() if each not in known]
        for item_id in known:
            self._speech.cut(item_id)
        self._release_if_idle()
        return cut + [CutItem(item_id, 0, 0) for item_id in silent]

    def knows(self, item_id: str) -> bool:
        """It came as text, and not as sound."""
        return self._speech.knows(item_id)

    def heard(self, item: CutItem) -> str:
        """The words of a cut item that were heard. The provider is told, since it can't
        cut text: once it makes nothing, its item goes for one with those words."""
        heard, whole = self._speech.heard(item.item_id, item.heard_ms)
        if whole:
            return heard
        self._edits.append(DeleteItem(item.item_id))
        if heard:
            self._edits.append(AddText("assistant", heard))
        if not self._making:
            self._over()
        return heard

    def _forget_waiting(self) -> list[str]:
        """Items of which nothing more is said; the one whose sound is being made too."""
        waiting = dict.fromkeys([piece.item_id for piece in self._pieces] + self._speech.unfinished)
        for item_id in waiting:
            self._speech.cut(item_id)
        self._pieces.clear()
        self._sounded.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        return list(waiting)

    # ------------------------------------------------------------- sound

    def _speak(self, pieces: list[Piece]) -> None:
        self._pieces.extend(pieces)
        if len(self._pieces) > _MOST_WAITING:
            log.warning("too much to say", pieces=len(self._pieces))
            self._forget_waiting()
        elif self._pieces and self._task is None:
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        own = self._task
        while self._pieces:
            piece = self._pieces[0]
            if piece.text:
                await self._sound(piece)
            else:
                self._on_complete(piece.item_id, self._sounded.pop(piece.item_id, True))
            if self._task is not own:  # cut by what came of it
                return
            self._pieces.popleft()
        self._task = None
        self._release_if_idle()

    async def _sound(self, piece: Piece) -> None:
        self._sounded.setdefault(piece.item_id, False)
        for attempt in range(1, self._tries + 1):
            try:
                await self._convert(piece)
                self._tries = _TRIES
                break
            except ReceptionError as error:
                log.warning("not spoken", error=error.message, attempt=attempt)
                if self._speech.begun(piece.item_id):
                    break
                if attempt < self._tries:
                    await asyncio.sleep(_AGAIN_S * attempt)
        else:
            self._tries = 1
        self._speech.spoken(piece, 0.0, whole=True)

    async def _convert(self, piece: Piece) -> None:
        converter = Converter(_SOURCE, self._leg_format, self._resampler)
        # it is an async generator
        async with aclosing(sound_of(piece.text, self._speaks)) as sounds:  # type: ignore[type-var]
            async for sound in sounds:
                for at in range(0, len(sound), _STEP_BYTES):
                    self._add(piece, converter.convert(sound[at : at + _STEP_BYTES]))
                    await asyncio.sleep(0)
        if not converter.passes_through:
            self._add(piece, converter.convert(_REST))

    def _add(self, piece: Piece, audio: bytes) -> None:
        self._sounded[piece.item_id] = True
        self._on_audio(piece.item_id, audio)
        self._speech.spoken(piece, len(audio) / self._leg_format.bytes_per_ms, whole=False)

    def _release_if_idle(self) -> None:
        if not self._pieces:
            held, self._held = self._held, []
            for raw in held:
                self._on_over(raw)

    async def idle(self) -> None:
        """Until everything has its sound."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def close(self) -> None:
        """Says nothing more and tells nothing."""
        self._held.clear()
        self._forget_waiting()
