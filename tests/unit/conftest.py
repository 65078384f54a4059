"""Unit tests run without Ray: whoever starts it here has made a mistake."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Costs nothing where Ray is not even imported."""

    def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise AssertionError("a unit test must not start Ray: it belongs into tests/cluster")

    if "ray" in sys.modules:
        monkeypatch.setattr("ray.init", refuse)
    else:
        yield
        assert "ray" not in sys.modules, "a unit test imported Ray: it belongs into tests/cluster"
        return
    yield
