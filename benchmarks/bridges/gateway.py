"""This gateway as `reception serve` brings it up, at its defaults but for the number
of sessions that it keeps ready: one for each call, and all of them are up."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from actors.settings import load_settings
from benchmarks.bridges.parts import say
from cluster.bringup import ServeOptions, start
from voice.scripted import SCRIPTED_MODEL


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--provider", required=True, help="base URL")
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--no-dashboard", action="store_true")
    options = parser.parse_args()
    places = options.calls * 100 // 95 + 1  # one in twenty is kept for emergencies
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            provider="embedded",
            provider_base_url=options.provider,
            model=SCRIPTED_MODEL,
            grpc_port=0,
            http_port=0,
            pool_size=places,
            pool_ceiling=places,  # or it would start as many again meanwhile
            rate_limit_per_minute=100_000,  # all calls come with one key
            rate_limit_per_hour=1_000_000,
            database_url=f"sqlite:///{Path(folder) / 'reception.db'}",
        )
        deployment = start(ServeOptions(dashboard=not options.no_dashboard), settings)
        try:
            key = deployment.create_key("bench", ["call"])
            while deployment.snapshot()["pool"]["ready"] < settings.pool_size:
                time.sleep(0.5)
            say(ready={"address": deployment.grpc_address, "key": key})
            sys.stdin.read()
        finally:
            deployment.stop()


if __name__ == "__main__":
    main()
