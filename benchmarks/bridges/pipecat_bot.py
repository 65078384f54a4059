"""Pipecat's telephony pipeline, put together as its own Twilio and Realtime examples do.

Runs in Pipecat's environment (`pipecat_environment.py`), so it imports nothing of ours.
FastAPI WebSocket transport and Twilio serializer at 8 kHz, OpenAI Realtime service with
server-side turn detection, context aggregators; logging at WARNING, metrics off.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    InputAudioTranscription,
    SessionProperties,
    TurnDetection,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

RATE_HZ = 8_000


def application(provider: str) -> FastAPI:
    app = FastAPI()
    url = provider.replace("http", "ws", 1) + "/realtime?model=scripted"

    @app.websocket("/ws")
    async def call(leg: WebSocket) -> None:
        await leg.accept()
        await leg.receive_text()  # "connected"
        started = json.loads(await leg.receive_text())["start"]
        await run_call(leg, started["streamSid"], started["callSid"], url)

    return app


async def run_call(leg: WebSocket, stream_sid: str, call_sid: str, url: str) -> None:
    """One call, until its leg closes."""
    serializer = TwilioFrameSerializer(
        stream_sid=stream_sid,
        call_sid=call_sid,
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket=leg,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            add_wav_header=False,
            serializer=serializer,
        ),
    )
    properties = SessionProperties(
        audio=AudioConfiguration(
            input=AudioInput(
                transcription=InputAudioTranscription(), turn_detection=TurnDetection()
            )
        )
    )
    llm = OpenAIRealtimeLLMService(
        api_key="none",
        base_url=url,
        settings=OpenAIRealtimeLLMService.Settings(
            system_instruction="You are a receptionist.", session_properties=properties
        ),
    )
    context = LLMContext([{"role": "developer", "content": "Say hello!"}])
    user, assistant = LLMContextAggregatorPair(context)
    worker = PipelineWorker(
        Pipeline([transport.input(), user, llm, transport.output(), assistant]),
        params=PipelineParams(audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=RATE_HZ),
    )

    @transport.event_handler("on_client_connected")
    async def on_connected(transport: object, client: object) -> None:
        await worker.queue_frames([LLMRunFrame()])

    @transport.event_handler("on_client_disconnected")
    async def on_disconnected(transport: object, client: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--provider", required=True, help="base URL")
    options = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            application(options.provider), log_level="warning", lifespan="off", loop="uvloop"
        )
    )

    def until_input_ends() -> None:
        ready = {"address": f"127.0.0.1:{listening.getsockname()[1]}"}
        print(json.dumps({"ready": ready}), flush=True)
        sys.stdin.read()
        server.should_exit = True
        server.force_exit = True

    threading.Thread(target=until_input_ends, daemon=True).start()
    server.run([listening])


if __name__ == "__main__":
    main()
