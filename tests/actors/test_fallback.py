"""A provider that refuses for good, with the real worker, session and engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.phrase_files import recordings, write
from actors.settings import Settings
from protos.reception.v1 import reception_pb2 as rv
from reception.call.phrases import file_name, fixed
from reception.provider.refusal import Outcome
from tests.actors.stack import MS_PER_CHAR, Caller, Stack
from tests.fakes.voice import speech
from tests.unit.call.example import PHRASES, PROFILE
from tests.waiting import patience
from voice.interfaces import Question, Say
from voice.realtime.session import Session
from voice.realtime.work import Work
from voice.server import EngineServer

THROUGH = "Putting you through to Anna Berg."
ALONE = replace(PROFILE, directory=PROFILE.directory[:1])


class Nobody:
    """Is never asked."""

    async def answer(self, question: Question) -> AsyncIterator[Say]:
        raise AssertionError(question)
        yield


def refuses_keys(engine: EngineServer, _: pytest.MonkeyPatch) -> None:
    """From the next dial on."""
    engine._config = replace(engine._config, api_key="another")


def quota_spent(_: EngineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions open, and are told at once; none is closed by the engine."""
    begins = Session.take

    def take(session: Session) -> tuple[list[dict[str, Any]], list[Work]]:
        events, work = begins(session)
        if any(event["type"] == "session.created" for event in events):
            error = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "pay"}
            events = [*events, {"type": "error", "event_id": "e", "error": error}]
        return events, work

    monkeypatch.setattr(Session, "take", take)


@pytest.mark.parametrize("refusal", [refuses_keys, quota_spent])
@pytest.mark.parametrize("person", [True, False])
async def test_a_caller_is_not_just_hung_up_on(
    tmp_path: Path,
    sqlite_url: str,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    refusal: Callable[[EngineServer, pytest.MonkeyPatch], None],
    person: bool,
) -> None:
    profile = PROFILE if person else ALONE
    phrases = tmp_path / "phrases"
    for text in fixed(profile):
        if text != PHRASES.greeting:
            sound = speech(MS_PER_CHAR * len(text))
            write(phrases / file_name("embedded", "", text), sound)

    async def listens(caller: Caller) -> None:
        async with patience():
            while not (caller.over or caller.transfers):
                await asyncio.sleep(0.01)
        if caller.transfers:
            caller.event(rv.CallEvent.KIND_TRANSFER_SUCCEEDED)

    async with Stack(tmp_path, monkeypatch, settings_for(sqlite_url), Nobody(), profile) as stack:
        stack.phrases = recordings(str(phrases), "embedded", "", profile)
        refusal(stack.engine, monkeypatch)
        record, caller = await stack.call("c", listens)
        use = await stack._worker.provider_use()
        assert await stack.cost.check() == []
    assert record.end_reason == ("transferred" if person else "provider_unavailable")
    assert record.transferred_to == ("sip:anna@example" if person else "")
    text = THROUGH if person else PHRASES.trouble
    assert [said.text for said in record.transcript] == [text]
    assert caller.audio["phrase_1"] >= 8 * MS_PER_CHAR * len(text)
    assert use.dials == {Outcome.REFUSED: 1}
