"""Whose money a call spends: the scopes that its holds and bills count in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NewType

from reception.errors import InvalidRequest

Scope = NewType("Scope", str)
"""One of KINDS and an id, as "tenant:acme"; "global" alone has none. The id
"*" in a limit stands for each one of the kind that has no limit of its own."""

GLOBAL = Scope("global")
EXEMPT = Scope("exempt")
"""What emergency calls spend: counted here, limited nowhere."""

OVERDRAFT = Scope("overdraft")
"""What was spent past a limit: counted here besides."""

KINDS = ("tenant", "key", "number", "profile", "provider")
EACH = "*"
MAX_SCOPE_CHARS = 300


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose account it is and what it is for.

    Attributes:
        number: the called number, as the telephony system gave it.
        exempt: an emergency call; no limit holds it back.
    """

    session_id: str
    call_id: str = ""
    tenant: str = ""
    key_id: str = ""
    model: str = ""
    number: str = ""
    profile: str = ""
    provider: str = ""
    exempt: bool = False

    def scopes(self) -> tuple[Scope, ...]:
        """Where its money counts; an id that is not known counts nowhere."""
        if self.exempt:
            return (EXEMPT,)
        return _scopes(self.tenant, self.key_id, self.number, self.profile, self.provider)


@lru_cache(4_096)
def _scopes(*ids: str) -> tuple[Scope, ...]:
    named = zip(KINDS, ids, strict=True)
    return (GLOBAL, *(Scope(f"{kind}:{id_}") for kind, id_ in named if id_))


def parse_scope(text: str) -> Scope:
    """A scope that a limit may be set for.

    Raises:
        InvalidRequest: it is none.
    """
    kind, _, id_ = text.partition(":")
    known = text == GLOBAL or (kind in KINDS and id_)
    if not known or len(text) > MAX_SCOPE_CHARS:
        raise InvalidRequest(
            f"scope is {text[:40]!r}: must be global, or one of {', '.join(KINDS)} with an id, "
            f"as in tenant:acme or tenant:{EACH}, of at most {MAX_SCOPE_CHARS} characters",
            field="scope",
        )
    return Scope(text)


def each_of_kind(scope: Scope) -> Scope:
    """Where limits for every scope of this one's kind are kept."""
    kind, colon, _ = scope.partition(":")
    return Scope(f"{kind}:{EACH}") if colon else scope
