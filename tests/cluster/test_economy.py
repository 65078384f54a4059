"""A node whose answers come as text, and whose synthesizer is SIGKILLed again and again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from actors.settings import load_settings
from actors.speech import sound_of
from cluster.bringup import ServeOptions, start
from cluster.caller import Caller, HangUp, Listen, Say, Step
from cluster.deployment import Deployment
from protos.reception.v1 import reception_pb2 as rv
from reception.errors import Unavailable
from reception.media.leg import Speaks
from tests.cluster.patient import SCENE_S, placed
from tests.cluster.test_calls import SPEECH, ScriptedProvider, _processes
from tests.waiting import PATIENCE_S
from voice.scripted import SCRIPTED_MODEL

pytest.importorskip("py_nanotts", reason="the extra `embedded` is not installed")
pytestmark = pytest.mark.timeout(500)

KILLS = 3


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    scripted = ScriptedProvider()
    scripted.url = scripted.start()
    yield scripted
    scripted.stop()


@pytest.fixture(scope="module")
def node(
    provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("node")
    settings = load_settings(
        provider="embedded",
        provider_base_url=provider.url,
        model=SCRIPTED_MODEL,
        savings="economy",
        grpc_port=0,
        http_port=0,
        pool_size=2,
        workers=1,
        database_url=f"sqlite:///{folder}/reception.db",
    )
    deployment = start(ServeOptions(dashboard=False), settings)
    yield deployment
    deployment.stop()


def place(node: Deployment, key: str, name: str) -> Any:
    start_call = rv.CallStart(call_id=name, format=rv.LegFormat(codec=rv.CODEC_PCMU))
    steps: list[Step] = [Listen(), Say(SPEECH), Listen(), HangUp()]

    def caller() -> Caller:
        return Caller(node.grpc_address, steps, key=key, start=start_call)

    return asyncio.run(asyncio.wait_for(placed(caller), SCENE_S))


def is_answered(outcome: Any) -> bool:
    """To the end, and in sound."""
    assert outcome.status == "OK", outcome.error
    said = [text for who, text in outcome.transcript if who == "reception"]
    ended = outcome.summary.end_reason == "caller_hangup"
    return ended and said[-1] == "Certainly." and len(outcome.answer_ms) == 1


def sound_tokens(provider: ScriptedProvider) -> int:
    """Of all answers so far."""
    usages = [each for invoice in provider.server.invoices for each in invoice.usages.values()]
    return sum(each["output_token_details"]["audio_tokens"] for each in usages)


async def until_spoken(node: Deployment) -> bytes:
    """The sound of a word, once there is somebody to say it."""
    while True:
        try:
            return b"".join([each async for each in sound_of("Hello.", Speaks(node.speech_socket))])
        except Unavailable:
            await asyncio.sleep(0.1)


def kill() -> None:
    """The synthesizer's process, once there is one."""
    while not (found := _processes("SynthesizerActor")):
        threading.Event().wait(0.02)
    for process in found:  # of this test's own cluster
        process.kill()
        process.wait(PATIENCE_S)


def test_calls_go_on_while_it_is_away_and_it_speaks_once_it_is_back(
    node: Deployment, provider: ScriptedProvider
) -> None:
    key = node.create_key("tests", ["call", "read"])
    assert is_answered(place(node, key, "before"))
    assert sound_tokens(provider) == 0

    for _ in range(KILLS):  # each as soon as it is there, and before it was started
        kill()
    assert is_answered(place(node, key, "away"))
    meanwhile = sound_tokens(provider)

    assert asyncio.run(asyncio.wait_for(until_spoken(node), SCENE_S))
    assert is_answered(place(node, key, "after"))
    assert sound_tokens(provider) == meanwhile
    assert node.call("cost", "check") == []
