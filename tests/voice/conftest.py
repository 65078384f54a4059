"""The engine's real server with ears, voice and brain that the test decides."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.fakes.voice import FakeBrain, FakeRecognizer, FakeSynthesizer
from tests.voice.client import Client
from tests.waiting import PATIENCE_S
from voice.server import EngineConfig, EngineServer


@pytest.fixture
async def engine():
    """Starts servers; at the end stops them and finds no task left behind."""
    before = asyncio.all_tasks()
    servers, clients = [], []

    async def start(**config):
        ears, mouth, brain = FakeRecognizer(), FakeSynthesizer(), FakeBrain()
        server = EngineServer(EngineConfig(**config), ears, mouth, brain)
        servers.append(server)
        port = await server.start()

        async def client(query="model=m", **options):
            clients.append(await Client.open(port, query, **options))
            return clients[-1]

        return SimpleNamespace(
            server=server, port=port, ears=ears, mouth=mouth, brain=brain, client=client
        )

    yield start
    for each in clients:
        await each.close()
    for server in servers:
        await server.stop()
        assert server.sessions == 0
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:  # a close that is still shaking hands; whatever stays is a leak
        _, stayed = await asyncio.wait(left, timeout=PATIENCE_S)
        assert not stayed
