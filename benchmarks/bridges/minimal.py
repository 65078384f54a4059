"""The least that can be done: Twilio's messages to Realtime's and back, in one process.

G.711 both ways, passed on in base64 as it comes; the caller's speech clears playout.
No keys, limits, records, pacing, recovery or money.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import threading

import uvicorn
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.bridges.parts import say

SESSION = {
    "type": "session.update",
    "session": {
        "type": "realtime",
        "instructions": "You are a receptionist.",
        "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "turn_detection": {"type": "server_vad"}},
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
        },
    },
}


def application(provider: str) -> FastAPI:
    """The bridge; `provider` is a base URL such as http://127.0.0.1:1234/v1."""
    app = FastAPI()
    url = provider.replace("http", "ws", 1) + "/realtime?model=scripted"

    @app.websocket("/ws")
    async def call(leg: WebSocket) -> None:
        await leg.accept()
        async with connect(url, additional_headers={"Authorization": "Bearer none"}) as realtime:
            await realtime.send(json.dumps(SESSION))
            await realtime.send(json.dumps({"type": "response.create"}))
            stream: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            down = asyncio.create_task(_down(leg, realtime, stream))
            await _up(leg, realtime, stream)
            down.cancel()

    return app


async def _up(leg: WebSocket, realtime: ClientConnection, stream: asyncio.Future[str]) -> None:
    async for text in leg.iter_text():
        message = json.loads(text)
        match message["event"]:
            case "media":
                audio = message["media"]["payload"]
                append = {"type": "input_audio_buffer.append", "audio": audio}
                await realtime.send(json.dumps(append))
            case "start":
                stream.set_result(message["start"]["streamSid"])
            case "stop":
                return


async def _down(leg: WebSocket, realtime: ClientConnection, stream: asyncio.Future[str]) -> None:
    sid = await stream
    try:
        async for raw in realtime:
            event = json.loads(raw)
            match event["type"]:
                case "response.output_audio.delta":
                    media = {"payload": event["delta"]}
                    await leg.send_json({"event": "media", "streamSid": sid, "media": media})
                case "input_audio_buffer.speech_started":
                    await leg.send_json({"event": "clear", "streamSid": sid})
    except ConnectionClosed:
        await leg.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--provider", required=True, help="base URL")
    options = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            application(options.provider), log_level="warning", lifespan="off", loop="uvloop"
        )
    )

    def until_input_ends() -> None:
        say(ready={"address": f"127.0.0.1:{listening.getsockname()[1]}"})
        sys.stdin.read()
        server.should_exit = True
        server.force_exit = True

    threading.Thread(target=until_input_ends, daemon=True).start()
    server.run([listening])


if __name__ == "__main__":
    main()
