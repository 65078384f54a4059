"""Checks what an account is named by, and whose it is."""

from __future__ import annotations

from dataclasses import replace

from actors.budgets import check_name
from reception.errors import InvalidRequest
from reception.money.case import INVOICED
from reception.money.leases import PREFIX, is_lease
from reception.money.reconciliation import is_invoiced
from reception.money.scopes import Owner

MAX_ID_CHARS = 256

_MOST = {
    "call_id": MAX_ID_CHARS, "tenant": 128, "key_id": 32, "model": 128,
    "number": MAX_ID_CHARS, "profile": 128, "provider": 64,
}  # fmt: skip


def check_ids(session_id: str, used_id: str = "-") -> None:
    """Of a call, and of something that it has used. Raises InvalidRequest."""
    check_name("session_id", session_id, most=MAX_ID_CHARS)
    check_name("used_id", used_id, most=MAX_ID_CHARS)


def whole(owner: Owner, provider: str, *, leases: bool = False) -> Owner:
    """The owner of a call, or of a lease, with the provider if it names none.

    Raises:
        InvalidRequest: an id is too long, or is none of such an account.
    """
    check_name("session_id", owner.session_id, most=MAX_ID_CHARS)
    if is_lease(owner.session_id) != leases:
        raise InvalidRequest(
            f"session_id is {owner.session_id[:40]!r}: that of a lease, and of nothing else, "
            f"begins with {PREFIX!r}",
            field="session_id",
        )
    if is_invoiced(owner.session_id):
        raise InvalidRequest(
            f"session_id is {owner.session_id[:40]!r}: no call's begins with {INVOICED!r}",
            field="session_id",
        )
    for field, most in _MOST.items():
        check_name(field, getattr(owner, field), 0, most)
    return owner if owner.provider else replace(owner, provider=provider)
