"""Has the raylets that this process starts run their workers as forks."""

from __future__ import annotations

import sys
from functools import partialmethod
from typing import Any

from ray._private.parameter import RayParams

from actors.forks import worker


def use_forks() -> None:
    """Ray has no public way for this. Elsewhere than on Linux it does nothing."""
    if sys.platform == "linux":
        params: Any = RayParams
        params.__init__ = partialmethod(params.__init__, worker_path=worker.__file__)
