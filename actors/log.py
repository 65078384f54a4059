"""The logger of processes that exist once for each call: structlog, imported with the
first line that is logged. It brings rich along, 4 MB that most calls never need."""

from __future__ import annotations

from typing import Any


class _Logger:
    def __getattr__(self, method: str) -> Any:
        import structlog  # noqa: PLC0415 - see above

        return getattr(structlog.get_logger(), method)


log = _Logger()
