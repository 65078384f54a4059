"""Errors of the core as gRPC statuses with google.rpc details."""

from __future__ import annotations

import secrets
from typing import Any

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from reception import errors as e
from reception.errors import ReceptionError

log = structlog.get_logger()

STATUS: dict[type[ReceptionError], grpc.StatusCode] = {
    e.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    e.ProtocolViolation: grpc.StatusCode.FAILED_PRECONDITION,
    e.NotAuthenticated: grpc.StatusCode.UNAUTHENTICATED,
    e.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
    e.CallIdInUse: grpc.StatusCode.ALREADY_EXISTS,
    e.NotFound: grpc.StatusCode.NOT_FOUND,
    e.LimitReached: grpc.StatusCode.RESOURCE_EXHAUSTED,
    e.Unavailable: grpc.StatusCode.UNAVAILABLE,
    e.IdleTimeout: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def code_of(error: ReceptionError) -> grpc.StatusCode:
    """The status of an error's class or of its nearest base that has one."""
    for cls in type(error).__mro__:
        if cls in STATUS:
            return STATUS[cls]
    return grpc.StatusCode.INTERNAL


def rich_status(
    code: grpc.StatusCode, message: str, *, field: str = "", retry_after_s: float = 0.0
) -> grpc.Status:
    """A status with BadRequest, RetryInfo and QuotaFailure where they apply."""
    details: list[Message] = []
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry_after_s > 0:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        quota = error_details_pb2.QuotaFailure.Violation(subject="calls", description=message)
        details.append(error_details_pb2.QuotaFailure(violations=[quota]))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    status = status_pb2.Status(code=code.value[0], message=message, details=packed)
    made: grpc.Status = rpc_status.to_status(status)
    return made


def code_by_number(number: int) -> grpc.StatusCode:
    """google.rpc.Code as grpc's; unknown ones are INTERNAL."""
    return _BY_NUMBER.get(number, grpc.StatusCode.INTERNAL)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: BaseException) -> None:
    """Ends the RPC with the error's status; never with a traceback.

    What is no ReceptionError is our fault: the client gets an id, the log the rest.
    """
    if isinstance(error, ReceptionError):
        status = rich_status(
            code_of(error), error.message, field=error.field, retry_after_s=error.retry_after_s
        )
    else:
        incident = secrets.token_hex(4)
        log.error("rpc failed", incident=incident, exc_info=error)
        status = rich_status(grpc.StatusCode.INTERNAL, f"internal error, id {incident}")
    await context.abort(status.code, status.details, status.trailing_metadata)
