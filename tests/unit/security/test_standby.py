"""What a front door does while nobody else can say."""

from __future__ import annotations

import pytest

from reception.security import standby
from reception.security.admission import Admission
from reception.security.standby import KNOWN_S, Standby

ANN, NOBODY = Admission(True, "acme", "k1"), Admission(False, code="unauthenticated")


def door(security: str) -> Standby:
    """One at which Ann was admitted at 100 s, and Bob was not."""
    standing = Standby(security)
    standing.admitted("ann", "call", ANN, 100.0)
    standing.admitted("bob", "call", NOBODY, 100.0)
    return standing


def test_closed_admits_nobody() -> None:
    assert door("closed").admit("ann", "call", 101.0) is None


def test_known_admits_who_was_admitted_for_the_same_within_the_hour() -> None:
    standing = door("known")
    assert standing.admit("ann", "call", 100.0 + KNOWN_S - 1) == ANN
    assert standing.admit("ann", "call", 100.0 + KNOWN_S) is None
    assert standing.admit("ann", "manage", 101.0) is None
    assert standing.admit("bob", "call", 101.0) is None
    assert standing.admit(None, "call", 101.0) is None


def test_who_is_refused_is_known_no_more() -> None:
    standing = door("known")
    standing.admitted("ann", "call", NOBODY, 102.0)
    assert standing.admit("ann", "call", 103.0) is None


def test_open_admits_everybody_who_calls() -> None:
    standing = door("open")
    assert standing.admit("ann", "call", 101.0) == ANN
    assert standing.admit("bob", "call", 101.0) == Admission(True)
    assert standing.admit("bob", "manage", 101.0) is None


def test_so_many_are_known_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "MAX_KNOWN", 2)
    standing = door("known")
    for name in ("cid", "dan"):
        standing.admitted(name, "call", ANN, 101.0)
    assert [standing.admit(name, "call", 102.0) for name in ("ann", "cid", "dan")] == [
        None, ANN, ANN,
    ]  # fmt: skip
