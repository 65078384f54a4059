"""Parts of an HTML page that needs nothing else, and a figure as a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from html import escape

from cluster.plots.frame import WIDTH

WIDE = 816
"""Two of a figure's usual widths, and the space between."""

_LIGHT = ("#2a78d6", "#e0692b", "#1a9c6c", "#d99a00", "#6b4fc8", "#d1568c", "#5b8c1f", "#8a8f98",
          "#128ea0")  # fmt: skip
_DARK = ("#4a94ea", "#e2763f", "#2bb184", "#d6a21f", "#9a8af0", "#dd6c9c", "#7fb23c", "#8d94a0",
         "#3fb8c9")  # fmt: skip

FIGURES = """
svg text { font: 11px system-ui, sans-serif; fill: var(--ink); }
svg .title { font-weight: 600; font-size: 12px; } svg .dim { fill: var(--dim); }
svg .grid { stroke: var(--line); } svg .zero, svg .tick { stroke: var(--dim); }
svg .mark { stroke: var(--dim); stroke-dasharray: 3 3; }
svg text.mark { stroke: var(--paper); stroke-width: 4px; stroke-dasharray: none;
  paint-order: stroke; }
svg polyline { fill: none; stroke-width: 1.7; stroke-linejoin: round; }
svg .hover { fill: var(--ink); fill-opacity: 0; } svg .hover:hover { fill-opacity: .08; }
svg .track { fill: var(--track); } svg .calm { fill: var(--good); }
svg .near { fill: var(--near); } svg .full, svg text.bad { fill: var(--bad); }
svg .held { fill-opacity: .45; }
svg .level { stroke: var(--ink); stroke-opacity: .4; }
svg .limit { stroke: var(--ink); stroke-width: 2; }
svg .foreseen { stroke: var(--ink); stroke-width: 1.4; } svg .expected { fill: var(--ink); }
""" + "".join(
    f"svg .c{n} {{ fill: var(--c{n}); }} svg .l{n} {{ stroke: var(--c{n}); }}\n"
    for n in range(len(_LIGHT))
)


def _colours(colours: Sequence[str]) -> str:
    return "".join(f" --c{number}: {colour};" for number, colour in enumerate(colours))


LIGHT = (
    "color-scheme: light dark; --ink: #1d2430; --dim: #667080; --paper: #fff; --line: #e3e7ec; "
    "--track: #e9edf2; --good: #2f9161; --near: #d98e04; --warn: #9a6200; --bad: #cc3333;"
    f"{_colours(_LIGHT)}"
)
DARK = (
    "--ink: #e3e8f0; --dim: #98a2b1; --paper: #14181f; --line: #2b323d; --track: #29303b; "
    f"--good: #3da873; --near: #e0a52c; --warn: #e0a52c; --bad: #f0706a;{_colours(_DARK)}"
)
_STYLE = f""":root {{ {LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
* {{ box-sizing: border-box; }}
body {{ font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1264px; margin: 20px auto; padding: 0 16px; }}
h1 {{ font-size: 20px; margin: 0 0 4px; }} h2 {{ font-size: 15px; margin: 26px 0 8px; }}
p {{ margin: 4px 0 12px; overflow-wrap: anywhere; }} .dim {{ color: var(--dim); }}
.bad {{ color: var(--bad); font-weight: 600; }} .good {{ color: var(--good); font-weight: 600; }}
.scroll {{ overflow-x: auto; }} table {{ border-collapse: collapse; }}
td, th {{ padding: 3px 14px 3px 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }}
th {{ font-weight: 600; color: var(--dim); font-size: 12px; }}
.words {{ text-align: left; }}
.plots {{ display: grid; gap: 16px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); }}
svg {{ display: block; width: 100%; max-width: 620px; border: 1px solid var(--line);
  border-radius: 6px; }}
.wide svg {{ max-width: none; }} .wide {{ display: none; }}
@media (min-width: 850px) {{ .wide {{ display: block; }} .narrow {{ display: none; }} }}
{FIGURES}"""


def document(title: str, body: Iterable[str], style: str = "") -> str:
    """A page; `style` besides that of its parts."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], words: Collection[int] = (0,)
) -> str:
    """A table; `words`: the columns of text, others are numbers."""

    def line(cells: Sequence[object], kind: str) -> str:
        shown = (
            f"<{kind}{' class=words' if number in words else ''}>{escape(str(cell))}</{kind}>"
            for number, cell in enumerate(cells)
        )
        return f"<tr>{''.join(shown)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="scroll"><table>{line(head, "th")}{body}</table></div>'


def both(draw: Callable[[int], str]) -> str:
    """A figure for wide windows and for narrow ones; one of them is shown."""
    return f'<div class="wide">{draw(WIDE)}</div><div class="narrow">{draw(WIDTH)}</div>'


def alone(svg: str) -> str:
    """A figure as an SVG file that needs nothing else, on white."""
    style = f"<style>svg {{ {LIGHT} background: #fff; }}{FIGURES}</style>"
    return svg.replace("<title>", f"{style}<title>", 1) + "\n"
