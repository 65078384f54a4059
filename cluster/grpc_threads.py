"""Imported before gRPC, makes one thread do all of a server's I/O.

gRPC's event engine hands every read to a pool of threads; its older poller does
the work where it waits: 20 % less CPU for a frame through the front door, all
threads counted (`python -m benchmarks door`). gRPC reads the choice when it is
imported, from the environment, which is put back so that no other process (Ray's
have a gRPC of their own) inherits it.
"""

from __future__ import annotations

import os

_NAME = "GRPC_EXPERIMENTS"
ONE_THREAD = "-event_engine_listener"

if _NAME not in os.environ:
    os.environ[_NAME] = ONE_THREAD
    import grpc  # noqa: F401 - the import is what counts

    del os.environ[_NAME]
