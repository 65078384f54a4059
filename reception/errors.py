"""Everything this package raises.

ReceptionError
├── InvalidRequest        a field is out of its bounds            INVALID_ARGUMENT
├── ProtocolViolation     messages in a wrong order               FAILED_PRECONDITION
├── NotAuthenticated      no or no valid credential               UNAUTHENTICATED
├── NotPermitted          credential lacks the scope              PERMISSION_DENIED
├── CallIdInUse           a live call has this id                 ALREADY_EXISTS
├── NotFound              no such call, key, profile              NOT_FOUND
├── LimitReached          money, rate or capacity                 RESOURCE_EXHAUSTED
├── Unavailable           draining, a part is down                UNAVAILABLE
│   └── NodeLost          a node can't be reached any more        UNAVAILABLE
├── IdleTimeout           nothing received for too long           DEADLINE_EXCEEDED
├── LinkError             bytes on the link make no sense         INTERNAL
├── Fenced                a write with an old epoch               INTERNAL
└── IllegalTransition     a state machine got an impossible event INTERNAL
"""

from __future__ import annotations

from typing import Self


class ReceptionError(Exception):
    """Root of all; `retryable` says if the same request can succeed later."""

    retryable = False

    def __init__(self, message: str, *, field: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.field, self.retry_after_s))


def _rebuild(
    cls: type[ReceptionError], message: str, field: str, retry_after_s: float
) -> ReceptionError:
    return cls(message, field=field, retry_after_s=retry_after_s)


class InvalidRequest(ReceptionError):
    """A field is out of its bounds; `field` names it."""


class ProtocolViolation(ReceptionError):
    """Messages came in an order that the protocol forbids."""


class NotAuthenticated(ReceptionError):
    """No credential, or one that is not valid."""


class NotPermitted(ReceptionError):
    """The credential does not cover what was asked."""


class CallIdInUse(ReceptionError):
    """A live call has this id."""

    @classmethod
    def of(cls, call_id: str) -> Self:
        """A live call has this call id."""
        return cls(f"call_id {call_id!r} is a live call's", field="call_id")


class NotFound(ReceptionError):
    """There is no such thing."""


class LimitReached(ReceptionError):
    """Money, rate or capacity is used up for now."""

    retryable = True


class Unavailable(ReceptionError):
    """A part that is needed is draining or down."""

    retryable = True


class NodeLost(Unavailable):
    """A node of the cluster died, stands still, or can't be reached."""


class IdleTimeout(ReceptionError):
    """Nothing was received for too long."""


class LinkError(ReceptionError):
    """Bytes on the link make no sense; the link is closed."""


class Fenced(ReceptionError):
    """A newer epoch exists: this writer is no longer the one."""


class IllegalTransition(ReceptionError):
    """A state machine got an event that its state cannot have."""
