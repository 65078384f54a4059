"""How the front door has gRPC do its I/O, in processes of their own."""

import os
import subprocess
import sys

import pytest

SERVE = """
import os
import cluster.front_door
import grpc, asyncio

async def main():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await server.stop(0)

asyncio.run(main())
print(os.environ.get("GRPC_EXPERIMENTS"))
"""


def serve(**environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    return subprocess.run(
        [sys.executable, "-c", SERVE],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_this_grpc_knows_the_choice_and_nobody_inherits_it():
    done = serve()
    assert "Unknown experiment" not in done.stderr
    assert done.stdout == "None\n"


@pytest.mark.parametrize("choice", ["event_engine_listener", "-no_such_experiment"])
def test_the_operators_choice_stands(choice):
    done = serve(GRPC_EXPERIMENTS=choice)
    assert done.stdout == f"{choice}\n"
    assert ("Unknown experiment" in done.stderr) == (choice == "-no_such_experiment")
