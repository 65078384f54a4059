"""`reception budget simulate`: what calls would cost."""

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.app import AsJson, console, print_json
from cluster.cli.budget.group import budget, reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from reception.money.savings.calls import Call
    from reception.money.savings.levels import Level
    from reception.money.savings.simulator import Bill, Provider

_MICROS = 1_000_000
_REST = "rest"
_MANY = 500  # calls; about two seconds


class Cache(StrEnum):
    """What the provider's prompt cache does."""

    WARM = "warm"
    COLD = "cold"
    FAILS = "fails"


@budget.command()
def simulate(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Recorded calls, JSON or CSV (see docs/money.md)."),
    ] = None,
    calls: Annotated[int, typer.Option(min=1, max=20_000, help="How many to generate.")] = 200,
    mean_s: Annotated[
        float, typer.Option(min=10, max=3_600, help="How long those last on average.")
    ] = 120.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same calls.")] = 1,
    model_call: Annotated[
        bool, typer.Option("--model-call", help="The one call of two minutes instead.")
    ] = False,
    model: Annotated[str, typer.Option(help="Of the profile.")] = "gpt-realtime-2.1",
    full: Annotated[bool, typer.Option("--full", help="The profile insists on its model.")] = False,
    cache: Annotated[
        Cache, typer.Option(help="warm: other calls were there minutes ago; cold: none was.")
    ] = Cache.WARM,
    as_json: AsJson = False,
) -> None:
    """The bill of the same calls at every level of saving, by OpenAI's rules."""
    from random import Random

    from actors.prices import load_prices
    from actors.settings import load_settings
    from reception.money.savings.calls import MODEL_CALL, generate
    from reception.money.savings.levels import MINI
    from reception.money.savings.simulator import Provider

    provider = Provider(
        load_prices(load_settings()), time.time(), model,
        cached=cache is not Cache.FAILS, warm=cache is Cache.WARM, full_asked=full,
    )  # fmt: skip
    if path is not None:
        made, what = _read(path), str(path)
    elif model_call:
        made, what = (MODEL_CALL,), "the model call"
    else:
        made, what = (
            generate(
                Random(seed),  # noqa: S311 - calls to make bills of, not secrets
                calls,
                mean_s,
            ),
            f"seed {seed}",
        )
    bills, saved = _bills(made, provider, quiet=as_json)
    totals = {level: _plain(each, bills) for level, each in bills.items()}
    if as_json:
        levels = {level.value: totals[level] | {"saved_by": saved[level]} for level in bills}
        print_json({"calls": len(made), "model": model, "cache": cache.value, "levels": levels})
        return
    small = "" if full or model not in MINI else ", mini from thrifty on"
    _show(totals, saved, f"{_calls(made)} ({what}), {model}{small}, cache {cache.value}")


def _read(path: Path) -> "tuple[Call, ...]":
    import csv
    import json

    from reception.money.savings.calls import parse_rows
    from reception.money.savings.records import parse_file

    with reading(path, "calls") as file:
        if path.suffix.lower() == ".csv":
            return parse_rows(csv.DictReader(file))
        return parse_file(json.load(file))


def _bills(
    made: "Sequence[Call]", provider: "Provider", *, quiet: bool
) -> "tuple[dict[Level, list[Bill]], dict[Level, dict[str, int]]]":
    """Each level's bills, and the micro-dollars that each measure saves of the
    whole. What no measure accounts for: answers were shorter, history cut back."""
    from rich.progress import track

    from reception.money.savings.comparison import Measure, compare
    from reception.money.savings.levels import LEVELS, Level
    from reception.money.savings.simulator import simulate as bill

    bills: dict[Level, list[Bill]] = {level: [] for level in LEVELS}
    saved = {level: dict.fromkeys((*map(str, Measure), _REST), 0) for level in LEVELS}
    shown = console(stderr=True)
    few = quiet or len(made) < _MANY
    for call in track(made, "calls", console=shown, transient=True, disable=few):
        for level, does in LEVELS.items():
            found = bill(call, does, provider)
            bills[level].append(found)
            by = compare(found.answered, call.head_tokens, provider.prices, provider.at_s).saved
            for measure, micros in by.items():
                saved[level][str(measure)] += micros
            less = bills[Level.OFF][-1].micros - found.micros
            saved[level][_REST] += less - sum(by.values())
    return bills, saved


def _plain(each: "Sequence[Bill]", bills: "Mapping[Level, Sequence[Bill]]") -> dict[str, Any]:
    """A level's totals; tokens and money of one call on average."""
    from dataclasses import asdict

    from reception.money.savings.levels import Level
    from reception.money.savings.simulator import together

    total, off = together(each), together(bills[Level.OFF])
    count = len(each)
    return {
        "micros": total.micros,
        "micros_per_call": total.micros // count,
        "micros_per_minute": total.micros_per_minute,
        "saved_percent": round(100 * (1 - total.micros / off.micros), 1) if off.micros else 0.0,
        "cache_percent": round(total.cache_percent, 1),
        "transcription_micros": total.transcription_micros,
        "duration_s_per_call": round(total.duration_ms / count / 1_000, 1),
        "sent_s_per_call": round(total.sent_ms / count / 1_000, 1),
        "responses_per_call": round(total.responses / count, 1),
        "tokens_per_call": {name: n // count for name, n in asdict(total.usage).items()},
    }


def _calls(made: "Sequence[Call]") -> str:
    mean_s = sum(call.duration_ms for call in made) / len(made) / 1_000
    calls = "1 call" if len(made) == 1 else f"{len(made)} calls"
    return f"{calls} of {mean_s:.0f} s"


def _show(
    totals: "Mapping[Level, dict[str, Any]]",
    saved: "Mapping[Level, dict[str, int]]",
    title: str,
) -> None:
    from reception.money.savings.levels import NOTICED

    console().print(title, markup=False)
    bills = _table()
    for column in ("$/call", "$/min", "saved", "cached"):
        bills.add_column(column, justify="right", no_wrap=True)
    for column in ("text\nin", "audio\nin", "text\nout", "audio\nout"):
        bills.add_column(column, justify="right", style="dim", no_wrap=True)
    for level, total in totals.items():
        tokens = total["tokens_per_call"]
        bills.add_row(
            level.value,
            f"{total['micros_per_call'] / _MICROS:.4f}",
            f"{total['micros_per_minute'] / _MICROS:.4f}",
            f"{total['saved_percent']:.0f} %",
            f"{total['cache_percent']:.0f} %",
            *(f"{tokens[name]:,}" for name in ("input_text", "input_audio")),
            *(f"{tokens[name]:,}" for name in ("output_text", "output_audio")),
        )
    console().print(bills)
    names = list(next(iter(saved.values())))
    console().print("what saves how much, % (rest: shorter answers, history cut back)")
    by_measure = _table()
    for name in names:
        by_measure.add_column(name, justify="right")
    off = next(iter(totals.values()))["micros"]
    for level, by in saved.items():
        shares = [100 * by[name] / off if off else 0.0 for name in names]
        by_measure.add_row(level.value, *(f"{s:.1f}" if s else "" for s in shares))
    console().print(by_measure)
    console().print("what callers notice, besides what they do at the levels above\n")
    for level in totals:
        console().print(f" {level.value:9}{NOTICED[level]}", markup=False)


def _table() -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("level", no_wrap=True)
    return table
