"""An audio worker with real links and a real provider socket."""

import pytest

from actors.link import SESSION_SUFFIX, Link
from actors.provider import warm_up
from actors.worker import AudioWorker
from protos.link.v1 import link_pb2 as lk
from tests.actors.worker.call import Call, attach
from tests.fakes.provider import FakeProvider
from tests.waiting import PATIENCE_S, patience


@pytest.fixture(scope="module", autouse=True)
def _sdk_is_there():
    """Its import is a second of CPU, which no test's clock should meet."""
    warm_up("embedded", "http://127.0.0.1:1/v1")


@pytest.fixture
async def provider():
    fake = FakeProvider()
    fake.url = await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def worker(tmp_path):
    worker = AudioWorker("w0", str(tmp_path / "w.sock"), str(tmp_path / "recordings"))
    await worker.start()
    yield worker
    await worker.stop()


@pytest.fixture
async def link_to(worker):
    """Makes links to the worker's sockets; they are closed at the end."""
    links = []

    async def make(suffix=""):
        links.append(await Link.connect(worker._path + suffix, PATIENCE_S))
        return links[-1]

    yield make
    for link in links:
        await link.close()


@pytest.fixture
async def connect(link_to, provider):
    async def make(**options):
        door = await link_to()
        session = await link_to(SESSION_SUFFIX)
        door.send(lk.DoorToWorker(attach=lk.DoorAttach(call_id="c1", lease_id="lease")))
        session.send(attach(provider.url, **options))
        async with patience():
            connection = await provider.connections.get()
        return Call(door, session, connection)

    return make
