"""Calls through the real thing in one process: door link, audio worker, session, cost
controller, and the embedded engine with a brain and a voice that tests decide."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import actors.session
from actors.assignment import Assignment, ProviderConfig
from actors.bills import Delivery
from actors.cost import CostController
from actors.link import Link
from actors.session import CallSession
from actors.settings import Settings
from actors.storage import schema
from actors.worker import AudioWorker
from protos.link.v1 import link_pb2 as lk
from protos.reception.v1 import reception_pb2 as rv
from reception.call.phrases import Recorded
from reception.call.profile import Profile
from reception.call.record import CallRecord, CallSpec
from reception.errors import Unavailable
from reception.framing import Kind, split_audio
from reception.money.savings.levels import Level
from reception.money.scopes import Owner
from reception.provider.base import Usage
from tests.fakes.voice import FakeRecognizer, silence, speech
from tests.unit.call.example import PROFILE, SPEC
from tests.waiting import PATIENCE_S
from voice.audio import Mouth
from voice.interfaces import ENGINE_RATE_HZ, Brain, Say
from voice.server import EngineConfig, EngineServer

MODEL, WORDS = "embedded", "whisper-1"
MS_PER_CHAR = 20
CHUNK_MS = 100
_FRAME_BYTES = 160


def g711(pcm24: bytes) -> bytes:
    mouth = Mouth("pcmu")
    return mouth.speak(pcm24) + mouth.speak(b"", last=True)


QUESTION = g711(speech(400) + silence(300))


def _frames() -> list[rv.Audio]:
    return [
        rv.Audio(payload=QUESTION[at : at + _FRAME_BYTES])
        for at in range(0, len(QUESTION), _FRAME_BYTES)
    ]


class PacedVoice:
    """MS_PER_CHAR of a tone for each character, made `speed` times as fast as it lasts."""

    def __init__(self, times: float) -> None:
        self._times = times

    async def stream(
        self, text: str, voice: str, speed: float, language: str
    ) -> AsyncIterator[bytes]:
        del voice, speed, language
        sound = b"\x10\x10" * (ENGINE_RATE_HZ * MS_PER_CHAR * len(text) // 1000)
        step = ENGINE_RATE_HZ * CHUNK_MS // 1000 * 2
        for at in range(0, len(sound), step):
            yield sound[at : at + step]
            await asyncio.sleep(CHUNK_MS / 1000 / self._times)


@dataclass
class Caller:
    """A telephone at the door's link: what came for it, by kind and item."""

    spec: CallSpec
    link: Link
    audio: dict[str, int] = field(default_factory=dict)  # bytes, by item
    said: dict[str, str] = field(default_factory=dict)  # the receptionist's, by item
    steps: list[int] = field(default_factory=list)
    transfers: list[str] = field(default_factory=list)  # whom to be put through to
    quiet: asyncio.Event = field(default_factory=asyncio.Event)  # an answer was heard
    over: bool = False
    summed_up: bool = False

    async def listen(self) -> None:
        while (frame := await self.link.receive()) is not None:
            if frame[0] is not Kind.AUDIO:
                continue
            message = rv.ReceptionMessage.FromString(split_audio(frame[1])[1])
            match message.WhichOneof("message"):
                case "audio":
                    item = message.audio.item_id
                    heard = self.audio.get(item, 0) + len(message.audio.payload)
                    self.audio[item] = heard
                case "transcript" if message.transcript.speaker == rv.SPEAKER_RECEPTION:
                    if message.transcript.final:
                        self.said[message.transcript.item_id] = message.transcript.text
                case "turn" if message.turn.kind == rv.TurnEvent.KIND_DONE:
                    self.quiet.set()
                case "summary":
                    self.summed_up = True
                case "transfer":
                    self.transfers.append(message.transfer.destination)
                case "budget":
                    self.steps.append(message.budget.kind)
        self.over = True
        self.quiet.set()

    async def until_answered(self, timeout_s: float) -> None:
        """Until an answer was played, or cut; not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.quiet.wait()
        self.quiet.clear()

    def ask(self) -> None:
        """Half a second of speech and the silence after it, all at once."""
        for audio in _frames():
            self._say(audio=audio)

    async def ask_in_time(self) -> None:
        """The same, as fast as people speak."""
        for audio in _frames():
            self._say(audio=audio)
            await asyncio.sleep(0.02)

    def event(self, kind: rv.CallEvent.Kind) -> None:
        self._say(event=rv.CallEvent(kind=kind))

    def hang_up(self) -> None:
        self._say(end=rv.CallEnd(reason="normal_clearing"))

    def _say(self, **one: Any) -> None:
        self.link.send_audio(0, rv.CallerMessage(**one).SerializeToString())


class Agent:
    """What a session asks its node agent."""

    def __init__(self, workers: list[str]) -> None:
        self._workers = workers
        self.later: list[Delivery] = []
        self.states: dict[str, bytes] = {}

    async def save_message(self, message: Any) -> None:
        del message

    async def another_worker(self, lease_id: str, lost: str) -> str:
        del lease_id
        for worker in self._workers:
            if worker != lost:
                return worker
        raise Unavailable("no other worker")

    async def keep_state(self, session_id: str, state: bytes) -> None:
        self.states[session_id] = state

    async def owns(self, session_id: str) -> bool:
        del session_id
        return True

    async def send_later(self, delivery: Delivery) -> None:
        self.later.append(delivery)


class Stack:
    """Everything that a call goes through, but its front door and its telephone."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        settings: Settings,
        brain: Brain,
        profile: Profile = PROFILE,
        times: float = 5.0,
    ) -> None:
        self.cost = CostController(settings)
        self.engine = EngineServer(EngineConfig(), FakeRecognizer(), PacedVoice(times), brain)
        turns = replace(profile.turn_detection, silence_duration_ms=200)
        self.profile = replace(profile, turn_detection=turns, transcription_model=WORDS)
        self._socket = str(folder / "w.sock")
        self._worker = AudioWorker("w", self._socket, str(folder / "recordings"))
        self.agent = Agent([self._socket])
        self._progress = str(folder / "agent.sock")
        self._url = ""
        self.phrases: dict[str, Recorded] = {}
        self.model = self.full_model = MODEL  # that speaks first, and if nothing is saved
        self.level, self.synthesizer = Level.QUALITY, ""
        monkeypatch.setattr(
            actors.session, "find", lambda name: self.cost if name == "cost" else self.agent
        )

    async def __aenter__(self) -> Stack:
        self._url = f"http://127.0.0.1:{await self.engine.start()}/v1"
        await self._worker.warm_up("embedded", self._url, MODEL)
        self.engine.invoices.clear()
        await self._worker.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._worker.stop()
        await self.engine.stop()
        self.cost.close()

    async def call(
        self,
        name: str,
        behave: Callable[[Caller], Any],
        deaths: tuple[float, ...] = (),
    ) -> tuple[CallRecord, Caller]:
        """One call from its hold to its record.

        Args:
            behave: what the caller does; when it returns the call is over by itself, or
                the caller has hung up.
            deaths: of the call's session, seconds after the one before.
        """
        spec = replace(SPEC, call_id=name, session_id=f"s-{name}", lease_id=f"l-{name}")
        owner = Owner(spec.session_id, name, spec.tenant, spec.key_id, self.model)
        hold = await self.cost.open_call(owner)
        assert hold.admitted, hold
        provider = ProviderConfig("embedded", self._url, self.full_model)
        assignment = Assignment(
            spec, self.profile, self.model, self._socket, provider, "pcmu", self._progress,
            level=self.level, phrases=self.phrases, synthesizer=self.synthesizer,
        )  # fmt: skip
        running = asyncio.create_task(CallSession(name, "n").run_call(assignment))
        link = await Link.connect(self._socket, PATIENCE_S)
        attach = lk.DoorAttach(call_id=spec.call_id, lease_id=spec.lease_id)
        link.send(lk.DoorToWorker(attach=attach))
        caller = Caller(spec, link)
        tasks = [asyncio.create_task(caller.listen()), asyncio.create_task(behave(caller))]
        try:
            for number, after_s in enumerate(deaths):
                await asyncio.wait([running], timeout=after_s)
                if running.done():
                    break
                running.cancel()
                await asyncio.wait([running])
                state = self.agent.states.get(spec.session_id, b"")
                told = CallRecord(spec, "active", "speaking" if state else "connecting", MODEL)
                session = CallSession(f"{name}-{number}", "n")
                running = asyncio.create_task(session.take_over(assignment, told, state))
            async with asyncio.timeout(120):
                return await running, caller
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await link.close()

    def being_made(self) -> dict[str, int]:
        """The answers that the worker knows to be under way, and how much came (bytes)."""
        legs = [call._provider for call in self._worker._calls.values()]
        return {leg._making: leg._made_bytes for leg in legs}

    # ------------------------------------------------------------- both books

    def billed(self) -> dict[str, tuple[str, Usage]]:
        """Responses in the ledger, with their sessions and tokens."""
        table = schema.usage
        names = list(Usage.__dataclass_fields__)
        with self.cost._store.reading() as connection:
            rows = connection.execute(sa.select(table).where(table.c.kind == "response")).all()
        return {
            row.response_id: (row.session_id, Usage(*(getattr(row, name) for name in names)))
            for row in rows
        }

    def transcribed(self) -> dict[str, float]:
        """What the caller said in the ledger: seconds, by item."""
        table = schema.usage
        with self.cost._store.reading() as connection:
            rows = connection.execute(sa.select(table).where(table.c.kind == "transcription"))
            return {row.response_id: row.audio_ms / 1000 for row in rows}

    def transcribed_by_own_count(self) -> int:
        """How many of these the provider did not tell of: we count tokens, which it does
        not where it bills time."""
        table = schema.usage
        ours = sa.select(sa.func.count()).where(
            table.c.kind == "transcription", table.c.input_audio > 0
        )
        with self.cost._store.reading() as connection:
            return connection.execute(ours).scalar_one()

    def invoiced(self) -> dict[str, Usage]:
        """Responses that the provider bills."""
        return {
            response_id: _usage(usage)
            for invoice in self.engine.invoices
            for response_id, usage in invoice.usages.items()
        }

    def invoice(self) -> list[dict[str, Any]]:
        """All that the provider bills, as the rows of an itemised invoice."""
        answers = [
            {"kind": "response", "id": response_id, "model": MODEL} | asdict(usage)
            for response_id, usage in self.invoiced().items()
        ]
        words = [
            {"kind": "transcription", "id": item_id, "model": WORDS, "seconds": seconds}
            for invoice in self.engine.invoices
            for item_id, seconds in invoice.transcribed_s.items()
        ]
        return answers + words


def _usage(raw: dict[str, Any]) -> Usage:
    into, out = raw["input_token_details"], raw["output_token_details"]
    cached = into["cached_tokens_details"]
    return Usage(
        into["text_tokens"], into["audio_tokens"], cached["text_tokens"],
        cached["audio_tokens"], out["text_tokens"], out["audio_tokens"],
    )  # fmt: skip


def seeded(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed} {name}")


__all__ = ["MODEL", "MS_PER_CHAR", "WORDS", "Caller", "Say", "Stack", "seeded"]
