"""What is too small for a file of its own."""

from __future__ import annotations

from dataclasses import replace

from reception.placement.admission.admission import Admission, AdmissionRules
from reception.placement.admission.answer import Admitted, Refused
from reception.placement.admission.priority import Priority
from reception.placement.lease import Placement
from reception.provider.base import Usage
from reception.version import VERSION


def test_the_version_has_three_numbers() -> None:
    assert [part.isdigit() for part in VERSION.split(".")[:2]] == [True, True]


def test_a_placement_is_the_same_at_another_worker_but_for_that() -> None:
    placed = Placement("n", "unix:/a", "l", "w0", "p", "m", "token")
    moved = replace(placed, worker_address="unix:/b")
    assert (moved.worker_address, moved.lease_id) == ("unix:/b", "l")


def test_tokens_are_counted_once_cached_ones_are_a_part() -> None:
    usage = Usage(input_text=1, input_audio=2, cached_text=1, output_text=3, output_audio=4)
    assert usage.tokens == 10


def test_a_node_that_was_drained_takes_calls_again() -> None:
    admission = Admission(AdmissionRules(capacity=2))
    admission.drain()
    assert not admission.takes(Priority.NORMAL, 0.0)
    assert isinstance(admission.ask("a", Priority.NORMAL, 0.0), Refused)
    admission.resume()
    assert admission.takes(Priority.NORMAL, 0.0)
    assert isinstance(admission.ask("a", Priority.NORMAL, 0.0), Admitted)
    assert admission.next_deadline_s() is not None
