"""A provider's count of tokens against ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.money.usage_export import compare, model_name, parse_openai, parse_rows

MODEL = "gpt-realtime-2.1"
DAY = "2026-11-24"
DAY_S = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp())
OURS = {
    "input_text": 100, "input_audio": 50, "cached_text": 40, "cached_audio": 10,
    "output_text": 7, "output_audio": 70,
}  # fmt: skip


def result(**changed: Any) -> dict[str, Any]:
    """What OpenAI gives for OURS: text and audio of the input are the uncached ones."""
    return {
        "object": "organization.usage.completions.result", "model": f"{MODEL}-2026-05-06",
        "input_tokens": 150, "input_cached_tokens": 50, "output_tokens": 77,
        "input_text_tokens": 60, "input_audio_tokens": 40, "input_cached_text_tokens": 40,
        "input_cached_audio_tokens": 10, "output_text_tokens": 7, "output_audio_tokens": 70,
        "num_model_requests": 3, "project_id": None,
    } | changed  # fmt: skip


def bucket(*results: dict[str, Any], start_s: int = DAY_S, length_s: int = 86_400) -> Any:
    return {"object": "bucket", "start_time": start_s, "end_time": start_s + length_s,
            "results": list(results)}  # fmt: skip


def page(*buckets: Any) -> dict[str, Any]:
    return {"object": "page", "data": list(buckets), "has_more": False, "next_page": None}


# ------------------------------------------------------------------ our form


def test_rows_are_summed_by_day_and_model() -> None:
    row = {"day": DAY, "model": MODEL} | {name: str(count) for name, count in OURS.items()}
    found = parse_rows([row, row | {"model": f"{MODEL}-2026-05-06"}])
    assert found.counts == {(DAY, MODEL): {name: 2 * count for name, count in OURS.items()}}
    assert (found.since_s, found.until_s) == (DAY_S, DAY_S + 86_400)


def test_only_what_is_given_is_compared() -> None:
    rows = [{"day": DAY, "model": MODEL, "input": 150, "input_text": "", "output_audio": 70}]
    assert compare(parse_rows(rows), {(DAY, MODEL): OURS}) == []
    rows[0]["output_audio"] = 71
    assert compare(parse_rows(rows), {(DAY, MODEL): OURS}) == [
        f"{DAY} {MODEL} output_audio: the provider counts 71 tokens, we 70 (-1)"
    ]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"day": "24.11.2026"}, "row 1: day is '24.11.2026': must be a date"),
        ({"day": None}, "row 1: day is None"),
        ({"model": ""}, "row 1: model is ''"),
        ({"model": 5}, "row 1: model is 5"),
        ({"input_text": "many"}, "row 1: input_text is 'many': must be a whole number"),
        ({"input_text": -1}, "row 1: input_text is -1"),
        ({"input_text": 10**16}, "must be a whole number of 0 to"),
        ({"input_text": None}, "row 1: counts is None: must be one at least of input_text"),
    ],
)
def test_a_row_that_is_wrong(changed: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        parse_rows([{"day": DAY, "model": MODEL, "input_text": 5} | changed])


def test_an_export_has_rows() -> None:
    with pytest.raises(InvalidRequest, match="needs one at least"):
        parse_rows([])


# ------------------------------------------------------------------ OpenAI's form


def test_openais_page_tells_text_from_audio() -> None:
    found = parse_openai(page(bucket(result())))
    sums = {"input": 150, "cached": 50, "output": 77}
    no_images = {"input_image": 0, "cached_image": 0}
    assert found.counts == {(DAY, MODEL): OURS | sums | no_images}
    assert (found.since_s, found.until_s) == (DAY_S, DAY_S + 86_400)
    assert compare(found, {(DAY, MODEL): OURS}) == []


def test_openais_page_tells_images_apart() -> None:
    more = {
        "input_tokens": 1_150, "input_cached_tokens": 818, "input_image_tokens": 232,
        "input_cached_image_tokens": 768,
    }  # fmt: skip
    found = parse_openai(page(bucket(result(**more))))
    ours = OURS | {"input_image": 1_000, "cached_image": 768}
    assert compare(found, {(DAY, MODEL): ours}) == []
    assert compare(found, {(DAY, MODEL): OURS}) == [
        f"{DAY} {MODEL} input_image: the provider counts 1000 tokens, we 0 (-1000)",
        f"{DAY} {MODEL} cached_image: the provider counts 768 tokens, we 0 (-768)",
    ]


def test_without_kinds_the_sums_are_compared() -> None:
    old = {name: None for name in result() if name.endswith(("text_tokens", "audio_tokens"))}
    found = parse_openai([page(bucket(result(**old))), page(bucket())])
    assert compare(found, {(DAY, MODEL): OURS}) == []
    assert compare(found, {(DAY, MODEL): OURS | {"cached_text": 41, "output_text": 0}}) == [
        f"{DAY} {MODEL} cached: the provider counts 50 tokens, we 51 (+1)",
        f"{DAY} {MODEL} output: the provider counts 77 tokens, we 70 (-7)",
    ]


def test_hours_are_summed_to_days_and_other_results_are_left_out() -> None:
    other = {"object": "organization.usage.embeddings.result", "input_tokens": 9}
    hours = [bucket(result(), other, start_s=DAY_S + n * 3_600, length_s=3_600) for n in (3, 23)]
    found = parse_openai(hours)
    assert found.counts[DAY, MODEL]["input_audio"] == 100
    assert (found.since_s, found.until_s) == (DAY_S + 3 * 3_600, DAY_S + 86_400)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "is no page of organization/usage/completions"),
        ("x", "is no page"),
        ([], "the export has no buckets"),
        (page(bucket(result(model=None))), "row 1: model is None: must be given: ask with group"),
        (page(bucket(result(input_tokens="x"))), "row 1: input_tokens is 'x'"),
        (
            page(bucket(length_s=86_401)),
            "row 1: end_time is .* within the same UTC day",
        ),
        (page(bucket(length_s=0)), "row 1: end_time"),
        (page(bucket() | {"results": 5}), "row 1: it is 5: must be an object"),
        # a value that the types forbid
        (page(bucket(result()), bucket(5)), "row 2: it is 5"),  # type: ignore[arg-type]
        (page(bucket() | {"end_time": None}), "row 1: end_time is None"),
    ],
)
def test_a_page_that_is_wrong(value: Any, text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        parse_openai(value)


# ------------------------------------------------------------------ the comparison


def test_what_only_one_side_has() -> None:
    export = parse_rows([{"day": DAY, "model": MODEL, "input": 5, "output": 0}])
    assert compare(export, {}) == [f"{DAY} {MODEL} input: the provider counts 5 tokens, we 0 (-5)"]
    export = parse_rows([{"day": DAY, "model": MODEL, "input": 150}])
    assert compare(export, {(DAY, MODEL): OURS, (DAY, "mini"): OURS}) == [
        f"{DAY} mini input: the provider counts 0 tokens, we 150 (+150)",
        f"{DAY} mini output: the provider counts 0 tokens, we 77 (+77)",
    ]
    nothing = dict.fromkeys(OURS, 0)
    assert compare(export, {(DAY, MODEL): OURS, (DAY, "mini"): nothing}) == []


@given(st.dictionaries(st.sampled_from(sorted(OURS)), st.integers(1, 9), min_size=1))
def test_every_count_that_differs_is_named(off: dict[str, int]) -> None:
    export = parse_rows([{"day": DAY, "model": MODEL} | OURS])
    ours = {name: count + off.get(name, 0) for name, count in OURS.items()}
    found = compare(export, {(DAY, MODEL): ours})
    assert {text.split()[2].rstrip(":") for text in found} == set(off)


def test_a_dated_name_is_the_model() -> None:
    assert model_name("gpt-realtime-2.1-2026-05-06") == "gpt-realtime-2.1"
    assert model_name("gpt-realtime-2025") == "gpt-realtime-2025"
