"""What the server refuses, as the protocol's error events say it."""

from __future__ import annotations


class Refused(Exception):
    """A client event that is not carried out; the session goes on."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "invalid_value",
        param: str | None = None,
        fatal: bool = False,
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.param, self.fatal = message, code, param, fatal


def missing(param: str) -> Refused:
    return Refused(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )
