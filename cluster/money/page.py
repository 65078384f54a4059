"""An overview of money as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from html import escape
from typing import Any

from cluster.money import figures
from cluster.money.figures import Overview
from cluster.plots.page import both, document, table
from cluster.plots.words import usd
from reception.money.alerts import LEVELS_PERCENT
from reception.money.overview import scope_of
from reception.money.windows import zone_of

_STYLE = """
.tiles { display: grid; gap: 10px; margin: 14px 0;
  grid-template-columns: repeat(auto-fit, minmax(116px, 1fr)); }
.tile { border: 1px solid var(--line); border-radius: 6px; padding: 8px 12px; }
.tile b { display: block; font-size: 19px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--dim); font-size: 12px; }
.near { margin: 0 0 14px; padding: 0; list-style: none; } .near li { margin: 2px 0; }
.warn { color: var(--warn); font-weight: 600; }
.board { display: grid; gap: 16px; align-items: start; }
.column, .pair { display: grid; gap: 16px; min-width: 0; }
@media (min-width: 1180px) { .board { grid-template-columns: 816fr 400fr; }
  .column svg { max-width: none; } }
@media (min-width: 850px) { .pair { grid-template-columns: 1fr 1fr; } }
@media (min-width: 850px) and (max-width: 1179px) {
  .side { grid-template-columns: 1fr 1fr; } }
.tables { display: grid; gap: 0 32px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 560px), 1fr)); }
.tables section:last-child { grid-column: 1 / -1; } .tables table { font-size: 13px; }
.tables td, .tables th { padding-right: 10px; }
td:first-child { max-width: 200px; overflow: hidden; text-overflow: ellipsis; }
"""
_TITLES = {"tenant": "Tenants", "number": "Called numbers", "profile": "Profiles",
           "call": "Calls"}  # fmt: skip
_MS_PER_MINUTE = 60_000


def page(found: Overview) -> str:
    """The page of an overview (`CostController.overview`)."""
    made = datetime.fromtimestamp(found["at_s"], zone_of(found["zone"]))
    return document(
        "reception budget",
        [
            "<h1>Money</h1>",
            f'<p class="dim">Calls that began {_span(found)}; hours and days of '
            f"{escape(found['zone'])}; as of {made:%Y-%m-%d %H:%M}.</p>",
            _tiles(found["total"]),
            _near(found),
            f'<div class="board"><div class="column">{_main(found)}</div>'
            f'<div class="column side">{_side(found)}</div></div>',
            f'<div class="tables">{"".join(_tables(found))}</div>',
        ],
        _STYLE,
    )


def _span(found: Overview) -> str:
    return f"{_local(found['since'], found)} to {_local(found['until'], found)}"


def _local(utc: str, found: Overview) -> str:
    at = datetime.fromisoformat(utc.replace("Z", "+00:00")).astimezone(zone_of(found["zone"]))
    return f"{at:%Y-%m-%d %H:%M}"


def _tiles(total: Mapping[str, Any]) -> str:
    cached = total["cache_percent"]
    told = (
        ("spent", usd(total["cost_micros"])),
        ("saved", usd(total["saved_micros"])),
        ("calls", f"{total['calls']:,}"),
        ("completed", f"{total['completed']:,}"),
        ("minutes of talk", f"{total['talk_ms'] / _MS_PER_MINUTE:,.0f}"),
        ("a minute", usd(total["micros_per_minute"]) or "-"),
        ("a completed call", usd(total["micros_per_completed"]) or "-"),
        ("input cached", "-" if cached is None else f"{cached:.0f} %"),
    )
    tiles = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for name, value in told
    )
    return f'<div class="tiles">{tiles}</div>'


def _near(found: Overview) -> str:
    """Limits that are near, or will be spent before their window ends."""
    told = []
    for limit in found["limits"]:
        forecast = figures.forecast_of(found, limit)
        hit = figures.when_hit(found, forecast) if forecast and forecast["hit_at_s"] else ""
        if limit["percent"] >= LEVELS_PERCENT[0] or hit:
            words = f"{scope_of(limit)}, {limit['window']}: {limit['percent']:.0f} % of "
            words += f"{usd(limit['limit_micros'])} spent or held{f', {hit}' if hit else ''}"
            kind = "bad" if hit or limit["percent"] >= LEVELS_PERCENT[-1] else "warn"
            told.append(f'<li class="{kind}">{escape(words)}</li>')
    if not told:
        return '<p class="good">No limit is near.</p>'
    return f'<ul class="near">{"".join(told)}</ul>'


def _main(found: Overview) -> str:
    more = found["limits_left_out"]
    left_out = f'<p class="dim">{more} limits of other scopes, further away.</p>' if more else ""
    return (
        both(lambda whole: figures.spending(found, whole))
        + both(lambda whole: figures.limits(found, whole))
        + left_out
        + f'<div class="pair">{figures.by_owner(found, "profiles")}'
        + f"{figures.by_owner(found, 'tenants')}</div>"
    )


def _side(found: Overview) -> str:
    return "".join((
        figures.per_minute(found), figures.per_completed(found), figures.cache(found),
        figures.saved(found), figures.calls(found),
    ))  # fmt: skip


# ------------------------------------------------------------------ tables


def _tables(found: Overview) -> Iterator[str]:
    for kind, title in _TITLES.items():
        top = found["top"][kind]
        rows = top["rows"]
        if not rows:
            continue
        more = top["left_out"]
        told = f'<p class="dim">{more:,} more.</p>' if more else ""
        shown = _calls(rows, found) if kind == "call" else _owners(kind, rows)
        yield f"<section><h2>{title}, the dearest</h2>{shown}{told}</section>"


def _owners(kind: str, rows: list[dict[str, Any]]) -> str:
    most = rows[0]["cost_micros"]
    head = (
        kind,
        "cost",
        "saved",
        "calls",
        "done",
        "min",
        "$/min",
        "$/done",
        "cached",
        "transcr.",
        "tokens",
        "transcr. min",
    )
    return table(
        head,
        (
            (row[kind] or "-", usd(row["cost_micros"], most), usd(row["saved_micros"], most),
             f"{row['calls']:,}", f"{row['completed']:,}", *_rest(row))
            for row in rows
        ),
    )  # fmt: skip


def _rest(row: Mapping[str, Any]) -> tuple[str, ...]:
    cached = row["cache_percent"]
    return (
        f"{row['talk_ms'] / _MS_PER_MINUTE:,.1f}",
        usd(row["micros_per_minute"]),
        usd(row["micros_per_completed"]),
        "" if cached is None else f"{cached:.0f}%",
        usd(row["transcription_micros"]),
        f"{row['transcription_input'] + row['transcription_output']:,}",
        f"{row['transcribed_ms'] / _MS_PER_MINUTE:,.1f}",
    )


def _calls(rows: list[dict[str, Any]], found: Overview) -> str:
    most = rows[0]["cost_micros"]
    head = ("call", "began", "tenant", "number", "profile", "ended", "cost", "min")
    return table(
        head,
        (
            (row["call_id"], _local(row["began"], found), row["tenant"], row["number"],
             row["profile"] or "-", row["end_reason"] or "live", usd(row["cost_micros"], most),
             f"{row['talk_ms'] / _MS_PER_MINUTE:,.1f}")
            for row in rows
        ),
        words=range(6),
    )  # fmt: skip
