"""A call's spec as it is written down."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from reception.call.record import spec_of
from reception.money.leases import Claim
from reception.money.scopes import Owner
from tests.unit.call.example import SPEC


@pytest.mark.parametrize("claim", [None, Claim(Owner("s1", tenant="acme"), "lease:d:1", 5, 1, 3.0)])
def test_a_spec_is_read_back_whole(claim: Claim | None) -> None:
    spec = replace(SPEC, claim=claim)
    assert spec_of(json.loads(json.dumps(asdict(spec)))) == spec
    older = asdict(SPEC)
    del older["claim"]
    assert spec_of(older) == SPEC
