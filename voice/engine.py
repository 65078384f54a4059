"""The embedded engine as Ray actors: the server, recognition, synthesis."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from voice.brain import ChatBrain, ReceptionBrain
from voice.interfaces import Brain
from voice.server import EngineConfig, EngineServer, Invoice
from voice.speech import models
from voice.speech.recognizer import RecognizerActor, RemoteRecognizer
from voice.speech.synthesizer import RemoteSynthesizer, SynthesizerActor

START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """model: "packaged", a folder or a hub id; chat_url "" means the rule-based brain."""

    host: str = "127.0.0.1"
    port: int = 0
    model: str = models.PACKAGED
    recognizers: int = 1
    threads: int = 2
    chat_url: str = ""
    chat_model: str = ""
    server: EngineConfig = field(default_factory=EngineConfig)


class VoiceEngine:
    """The WebSocket server's actor."""

    def __init__(self, settings: EngineSettings, recognizers: list[str], synthesizer: str) -> None:
        brain: Brain = ReceptionBrain()
        if settings.chat_url:
            brain = ChatBrain(settings.chat_url, settings.chat_model)
        self._server = EngineServer(
            settings.server, RemoteRecognizer(recognizers), RemoteSynthesizer(synthesizer), brain
        )

    async def start(self) -> int:
        """Listens; returns the port."""
        return await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    async def stats(self) -> dict[str, Any]:
        return {"sessions": self._server.sessions, "served": len(self._server.invoices)}

    async def invoices(self) -> list[Invoice]:
        """What every session, live or ended, is billed."""
        return list(self._server.invoices)


@dataclass(slots=True)
class Engine:
    """The embedded engine's processes."""

    host: str
    server: ActorHandle[Any]
    parts: list[ActorHandle[Any]]
    folder: str
    starting: list[Any]
    port: int = 0

    def wait(self) -> None:
        """Until it takes sessions. Blocks; raises what went wrong."""
        *_, self.port = ray.get(self.starting, timeout=START_TIMEOUT_S)

    @property
    def url(self) -> str:
        """The base URL for a Realtime client, once it takes sessions."""
        return f"http://{self.host}:{self.port}/v1"

    def stop(self) -> None:
        """Ends all of its processes."""
        with contextlib.suppress(RayError, TimeoutError):
            ray.get(self.server.stop.remote(), timeout=5.0)
        for actor in [self.server, *self.parts]:
            ray.kill(actor)
        shutil.rmtree(self.folder, ignore_errors=True)


def deploy(settings: EngineSettings) -> Engine:
    """Begins to start the engine's actors; see `Engine.wait`."""
    folder = tempfile.mkdtemp(prefix="voice-")
    recognizer_paths = [str(Path(folder) / f"r{n}.sock") for n in range(settings.recognizers)]
    synthesizer_path = str(Path(folder) / "s.sock")
    parts = [
        _actor(
            RecognizerActor, path, settings.model, settings.threads,
            name=f"recognizer:{n}", threads=settings.threads,
        )
        for n, path in enumerate(recognizer_paths)
    ]  # fmt: skip
    parts.append(_actor(SynthesizerActor, synthesizer_path, name="synthesizer"))
    server = _actor(VoiceEngine, settings, recognizer_paths, synthesizer_path, name="engine")
    starting = [part.start.remote() for part in [*parts, server]]
    return Engine(settings.host, server, parts, folder, starting)


def deploy_synthesizer(path: str) -> ActorHandle[Any]:
    """A process that speaks at a Unix socket, once its `start` is done; Ray makes it anew
    when it dies, and then it is to be started again."""
    return _actor(SynthesizerActor, path, name="speech", restarts=-1)


def _actor(
    cls: type[Any], *args: Any, name: str, threads: int = 1, restarts: int = 0
) -> ActorHandle[Any]:
    """The engine's one place for Ray options: each node has an engine of its own."""
    here = ray.get_runtime_context().get_node_id()
    env = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    options: dict[str, Any] = {
        "num_cpus": 0, "name": f"{name}:{here[:12]}", "namespace": "reception",
        "runtime_env": {"env_vars": env}, "max_restarts": restarts,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False),
    }  # fmt: skip
    # Ray's handles have no types
    return ray.remote(cls).options(**options).remote(*args)  # type: ignore[no-any-return]
