"""The error tree."""

import pickle

from reception import errors


def test_an_error_keeps_its_fields_through_pickling():
    error = pickle.loads(
        pickle.dumps(errors.LimitReached("busy", field="calls", retry_after_s=2.5))
    )
    assert (type(error), error.message, error.field, error.retry_after_s) == (
        errors.LimitReached,
        "busy",
        "calls",
        2.5,
    )
    assert error.retryable
    assert not errors.InvalidRequest("no").retryable


def test_a_call_id_in_use_is_named_by_field_and_value() -> None:
    error = errors.CallIdInUse.of("c1")
    assert (error.message, error.field) == ("call_id 'c1' is a live call's", "call_id")
