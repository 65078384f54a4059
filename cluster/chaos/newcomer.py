"""Somebody who calls while no call can be taken."""

from __future__ import annotations

import asyncio
import time

import grpc

from cluster.chaos import history as h
from cluster.client import connected, says_when
from protos.reception.v1 import reception_pb2 as rv
from protos.reception.v1 import reception_pb2_grpc as rpc
from reception.errors import ReceptionError

ANSWERS_S = 15.0


async def knock(address: str, call_id: str) -> h.Newcomer:
    """Asks a front door for a call, and gives it up at once if it is taken."""
    began_s = time.monotonic()
    status, when = "OK", False
    try:
        async with asyncio.timeout(ANSWERS_S), grpc.aio.insecure_channel(address) as channel:
            await connected(channel, address)
            stub = rpc.ReceptionStub(channel)  # type: ignore[no-untyped-call]  # generated
            stream = stub.Converse()
            start = rv.CallStart(call_id=call_id, format=rv.LegFormat(codec=rv.CODEC_PCMU))
            await stream.write(rv.CallerMessage(start=start))
            await stream.read()
            stream.cancel()
    except grpc.aio.AioRpcError as error:
        status, when = error.code().name, says_when(error)
    except (ReceptionError, TimeoutError) as error:
        status = type(error).__name__
    return h.Newcomer(address, status, when, time.monotonic() - began_s)
