"""The embedded engine's WebSocket server: one Realtime session per connection."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from voice.audio import Mouth
from voice.interfaces import Brain, CallTool, Recognizer, Say, Synthesizer
from voice.realtime.session import Session
from voice.realtime.work import Answer, StopAnswer, Transcribe, Work
from voice.scripted import SCRIPTED_MODEL, Script, Scripted, fault_at

log = structlog.get_logger()

PATH = "/v1/realtime"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
INVOICES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """host and port (0: any free one); api_key None lets everybody in."""

    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = None
    max_session_s: float = 3600.0
    max_sessions: int = 1_000


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a session is billed: the usage of each of its responses, by their ids, as
    sent or, where the socket was gone, as it would have been; and the seconds that were
    transcribed, by item."""

    session_id: str
    model: str
    usages: dict[str, dict[str, Any]]
    transcribed_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class Billed:
    """A response that is billed: made whole, in part or in vain."""

    session_id: str
    response_id: str
    status: str
    usage: dict[str, Any]


class EngineServer:
    """Serves `PATH`?model=…; the model "scripted" has fixed answers (`voice.scripted`).

    Args:
        script: of scripted sessions whose query has none.
        on_billed: told of each response, at once when it is billed.
    """

    def __init__(
        self,
        config: EngineConfig,
        recognizer: Recognizer,
        synthesizer: Synthesizer,
        brain: Brain,
        script: Script | None = None,
        on_billed: Callable[[Billed], None] = lambda _: None,
    ) -> None:
        self._script, self._on_billed = script or Script(), on_billed
        self.invoices: deque[Invoice] = deque(maxlen=INVOICES_KEPT)
        self._config = config
        self._parts = (recognizer, synthesizer, brain)
        self._server: Server | None = None
        self._live: set[Connection] = set()
        self._refusal, self._refuses_until_s = HTTPStatus.OK, 0.0
        self._failure, self._fails_until_s = "", 0.0

    @property
    def sessions(self) -> int:
        """Sessions that are open now."""
        return len(self._live)

    async def start(self) -> int:
        """Listens; returns the port."""
        self._server = await serve(
            self._serve,
            self._config.host,
            self._config.port,
            process_request=self._check,
            max_size=MAX_MESSAGE_BYTES,
            compression=None,
            ping_interval=None,
        )
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    def drop(self) -> int:
        """Breaks every connection without a goodbye; how many."""
        for connection in self._live:
            connection.abort()
        return len(self._live)

    def expire(self) -> None:
        """Every session has reached its age."""
        for connection in self._live:
            connection.expire()

    def refuse(self, status: HTTPStatus, seconds: float) -> None:
        """Breaks every connection, and answers new ones with `status` for so long."""
        self._refusal, self._refuses_until_s = status, time.monotonic() + seconds
        self.drop()

    def fail(self, code: str, seconds: float) -> None:
        """Breaks every connection, and fails all answers with this error for so long."""
        self._failure, self._fails_until_s = code, time.monotonic() + seconds
        self.drop()

    def failure(self) -> str:
        """The code with which answers fail now; "": they do not."""
        return self._failure if time.monotonic() < self._fails_until_s else ""

    async def stop(self) -> None:
        """Closes every session and stops listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        if url.path != PATH:
            return connection.respond(HTTPStatus.NOT_FOUND, f"only {PATH} is served here\n")
        if not parse_qs(url.query).get("model"):
            return connection.respond(HTTPStatus.BAD_REQUEST, "the query needs model=…\n")
        if time.monotonic() < self._refuses_until_s:
            return connection.respond(self._refusal, f"{self._refusal.phrase}\n")
        if self.sessions >= self._config.max_sessions:
            return connection.respond(HTTPStatus.TOO_MANY_REQUESTS, "too many sessions\n")
        key = self._config.api_key
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if key is not None and not hmac.compare_digest(given.encode(), key.encode()):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "invalid_api_key\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        query = parse_qs(urlsplit(socket.request.path).query)
        model = query["model"][0]
        parts = self._parts
        script: Script | None = None
        if model == SCRIPTED_MODEL:
            script = Script.parse(query["script"][0]) if "script" in query else self._script
            scripted = Scripted(script)
            parts = (scripted, scripted, scripted)
        session_id = f"sess_{secrets.token_hex(8)}"
        session = Session(session_id, model, time.time(), max_age_s=self._config.max_session_s)

        def billed(response: dict[str, Any]) -> None:
            usage = response["usage"]
            self._on_billed(Billed(session_id, response["id"], response["status"], usage))

        connection = Connection(socket, session, *parts, script, billed, self.failure)
        self._live.add(connection)
        invoice = Invoice(session_id, model, session.invoice, session.transcribed_s)
        self.invoices.append(invoice)
        try:
            await connection.run()
        finally:
            self._live.discard(connection)


class Connection:
    """The shell of one session: reads, works, writes."""

    def __init__(
        self,
        socket: ServerConnection,
        session: Session,
        recognizer: Recognizer,
        synthesizer: Synthesizer,
        brain: Brain,
        script: Script | None,
        billed: Callable[[dict[str, Any]], None],
        failure: Callable[[], str],
    ) -> None:
        self._billed, self._failure = billed, failure
        self._socket, self._session = socket, session
        self._recognizer, self._synthesizer, self._brain = recognizer, synthesizer, brain
        self._script = script
        self._answering: asyncio.Task[None] | None = None
        self._hearing: dict[str, asyncio.Task[None]] = {}
        self._responses = 0
        self._outbox: asyncio.Queue[str] = asyncio.Queue(10_000)

    async def run(self) -> None:
        """Until the socket closes or the session expires."""
        writer = asyncio.create_task(self._write())
        timer = asyncio.create_task(self._watch_the_time())
        faults = asyncio.create_task(self._timed_faults())
        try:
            self._flush()
            async for message in self._socket:
                self._session.handle(message, time.time())
                self._flush()
        except ConnectionClosed:
            pass
        finally:
            self._session.hang_up()
            tasks = [writer, timer, faults, *self._hearing.values()]
            if self._answering is not None:
                tasks.append(self._answering)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def abort(self) -> None:
        """The connection breaks."""
        self._socket.transport.abort()

    def expire(self) -> None:
        """The session has reached its age."""
        self._session.expire(time.time())
        self._flush()

    # ------------------------------------------------------------- sending

    def _flush(self) -> None:
        """Hands events to the writer and starts the work that was asked for."""
        events, work = self._session.take()
        for event in events:
            if event["type"] == "response.done":
                self._billed(event["response"])
            try:
                self._outbox.put_nowait(json.dumps(event))
            except asyncio.QueueFull:  # a client that doesn't read
                self._socket.transport.abort()
                return
        for each in work:
            self._start(each)

    async def _write(self) -> None:
        while True:
            message = await self._outbox.get()
            await self._socket.send(message)
            if self._session.expired and self._outbox.empty():
                await self._socket.close(1001, "session_expired")

    async def _watch_the_time(self) -> None:
        while not self._session.expired:
            wait_s = self._session.next_deadline_s() - time.time()
            await asyncio.sleep(min(max(wait_s, 0.0), 0.25))
            if time.time() >= self._session.next_deadline_s():
                self._session.handle_timer(time.time())
                self._flush()

    # ------------------------------------------------------------- working

    def _start(self, work: Work) -> None:
        match work:
            case StopAnswer():
                if self._answering is not None:
                    self._answering.cancel()
            case Transcribe():
                task = asyncio.create_task(self._hear(work))
                self._hearing[work.item_id] = task
                task.add_done_callback(lambda _: self._hearing.pop(work.item_id, None))
            case Answer():
                self._answering = asyncio.create_task(self._answer(work))

    async def _hear(self, work: Transcribe) -> None:
        try:
            text = await self._recognizer.transcribe(work.pcm16, 8_000, work.language, work.prompt)
            self._session.transcribed(work.item_id, text)
        except Exception as error:
            log.exception("recognition failed")
            self._session.transcription_failed(work.item_id, type(error).__name__)
        self._flush()

    async def _answer(self, work: Answer) -> None:
        response = work.response
        self._responses += 1
        try:
            if failure := self._failure():
                self._session.finish(response, "failed", error=_failed(failure))
                return
            if self._script is not None and not await self._fault(work):
                return
            if self._hearing:  # the brain needs the words
                await asyncio.wait(list(self._hearing.values()))
            # it is an async generator
            async with aclosing(self._brain.answer(work.question())) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    await self._piece(work, piece)
                    if response.over_limit:
                        self._session.finish(response, "incomplete", "max_output_tokens")
                        return
            self._session.finish(response, "completed")
        except Exception:
            log.exception("answer failed")
            self._session.finish(response, "failed", error=_failed("server_error"))
        finally:
            self._flush()

    async def _piece(self, work: Answer, piece: Say | CallTool) -> None:
        response = work.response
        if isinstance(piece, CallTool):
            response.call(piece.name, piece.arguments)
            self._flush()
            return
        response.say(piece.text)
        self._flush()
        if response.audio_format is None:
            return
        mouth = Mouth(response.audio_format)
        sound = self._synthesizer.stream(piece.text, work.voice, work.speed, work.language)
        async with aclosing(sound) as chunks:  # type: ignore[type-var]  # generators do have aclose
            async for chunk in chunks:
                response.sound(mouth.speak(chunk))
                self._flush()
        response.sound(mouth.speak(b"", last=True))
        self._flush()

    # ------------------------------------------------------------- faults on demand

    async def _fault(self, work: Answer) -> bool:
        """Carries out the script's fault for this response; False ends it here."""
        assert self._script is not None
        fault = fault_at(self._script, self._responses)
        if fault is None:
            return True
        match fault.kind:
            case "close":
                await self._socket.close(fault.code, "scripted")
                return False
            case "slow":
                await asyncio.sleep(fault.delay_s)
                return True
            case "silence":
                await asyncio.Event().wait()
            case "malformed":
                await self._outbox.put('{"type":"response.output_audio.delta","delta":')
                return True
            case _:
                self._session.finish(work.response, "failed", error=_failed(fault.error))
        return False

    async def _timed_faults(self) -> None:
        if self._script is None:
            return
        for fault in sorted(self._script.timed(), key=lambda each: each.after_s):
            await asyncio.sleep(fault.after_s)
            await self._socket.close(fault.code, "scripted")


def _failed(code: str) -> dict[str, str]:
    return {"type": "server_error", "code": code}
