"""What a figure is drawn of, as SVG. `kind` is a class of page.FIGURES."""

from __future__ import annotations

from html import escape


def text(x: float, y: float, words: str, *, anchor: str = "", kind: str = "") -> str:
    """Words in a figure, escaped."""
    at = f' text-anchor="{anchor}"' if anchor else ""
    of = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{at}{of}>{escape(words)}</text>'


def dot(x: float, y: float, kind: str) -> str:
    """A point."""
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def stroke(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """A straight line from a place to another."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def box(kind: str, x: float, y: float, wide: float, high: float, told: str = "") -> str:
    """A rectangle; `told` is shown when it is pointed at."""
    at = f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'
    return f"{at}><title>{escape(told)}</title></rect>" if told else f"{at}/>"
