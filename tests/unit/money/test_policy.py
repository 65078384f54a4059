"""Policies: one step after another as the money runs out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.money.policy import Policy, Step, parse_policy

ALL = Policy(
    (
        (Step.WARN, 50), (Step.SHORTEN, 40), (Step.CHEAPER, 30), (Step.WRAP_UP, 20),
        (Step.TRANSFER, 10), (Step.REFUSE, 5),
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("left", "step"),
    [
        (1_000, Step.GO_ON), (500, Step.GO_ON), (499, Step.WARN), (399, Step.SHORTEN),
        (299, Step.CHEAPER), (199, Step.WRAP_UP), (99, Step.TRANSFER), (0, Step.TRANSFER),
    ],
)  # fmt: skip
def test_steps_come_in_order(left: int, step: Step) -> None:
    due = ALL.for_call(left, can_hold=True)
    assert due[-1:] == ((step,) if step is not Step.GO_ON else ())
    assert step.ends == (step in (Step.WRAP_UP, Step.TRANSFER))


def test_new_calls_are_refused_last() -> None:
    assert not ALL.refuses(50)
    assert ALL.refuses(49)
    assert not Policy(()).refuses(0)
    assert not Policy().refuses(0)
    assert Policy(((Step.WRAP_UP, 0), (Step.REFUSE, 20))).refuses(199)


@pytest.mark.parametrize(
    ("steps", "left", "step"),
    [
        ((), 900, Step.WRAP_UP),
        (((Step.WARN, 10),), 900, Step.WRAP_UP),
        (((Step.WRAP_UP, 0), (Step.TRANSFER, 0)), 900, Step.TRANSFER),
        (((Step.TRANSFER, 5),), 900, Step.TRANSFER),
        (((Step.WRAP_UP, 9), (Step.TRANSFER, 5)), 900, Step.WRAP_UP),
        (((Step.WRAP_UP, 9), (Step.TRANSFER, 5)), 49, Step.TRANSFER),
    ],
)
def test_a_call_without_its_hold_ends_whatever_is_listed(
    steps: tuple[tuple[Step, int], ...], left: int, step: Step
) -> None:
    due = Policy(steps).for_call(left, can_hold=False)
    assert due[-1] is step
    assert [each for each in due if each.ends] == [step]


def test_every_step_that_is_due_is_named_but_only_one_end() -> None:
    going_on = (Step.WARN, Step.SHORTEN, Step.CHEAPER)
    assert ALL.for_call(350, can_hold=True) == (Step.WARN, Step.SHORTEN)
    assert ALL.for_call(150, can_hold=True) == (*going_on, Step.WRAP_UP)
    assert ALL.for_call(50, can_hold=True) == (*going_on, Step.TRANSFER)
    assert Policy().for_call(70, can_hold=True) == (Step.WARN,)
    assert Policy(((Step.CHEAPER, 5),)).for_call(10, can_hold=False) == (
        Step.CHEAPER, Step.WRAP_UP,
    )  # fmt: skip


@pytest.mark.parametrize(
    "steps",
    [
        ((Step.SHORTEN, 10), (Step.WARN, 10)),
        ((Step.WARN, 10), (Step.WARN, 5)),
        ((Step.GO_ON, 10),),
        ((Step.WARN, 101),),
        ((Step.WARN, -1),),
        ((Step.WRAP_UP, 0), (Step.REFUSE, 101)),
        ((Step.WARN, 10), (Step.SHORTEN, 11)),
    ],
)
def test_what_is_no_policy(steps: tuple[tuple[Step, int], ...]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Policy(steps)
    assert caught.value.field == "steps"


def test_policies_by_name() -> None:
    assert parse_policy({"warn": 20, "transfer": 0}) == Policy(
        ((Step.WARN, 20), (Step.TRANSFER, 0))
    )
    for wrong in ({"shout": 1}, {"go_on": 1}, {"warn": 1.5}, {"warn": True}, {"warn": "2"}):
        with pytest.raises(InvalidRequest, match="must be one of"):
            parse_policy(wrong)


@given(
    st.lists(st.sampled_from(list(Step)[1:]), unique=True),
    st.lists(st.integers(0, 100), min_size=6, max_size=6),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
)
def test_less_money_never_means_an_earlier_step(
    names: list[Step], percents: list[int], left: int, less: int
) -> None:
    order = list(Step)
    names.sort(key=order.index)
    steps = tuple(zip(names, sorted(percents, reverse=True), strict=False))
    policy = Policy(steps)
    less = min(left, less)
    first, then = (
        [order.index(step) for step in policy.for_call(each, can_hold=True)]
        for each in (left, less)
    )
    assert then == sorted(set(then))
    assert max(then, default=0) >= max(first, default=0)
    assert policy.for_call(less, can_hold=False)[-1].ends
