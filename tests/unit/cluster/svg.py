"""Reads what a figure says, and where."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import combinations
from xml.etree import ElementTree as ET

from cluster.plots.words import BOLD, width

NS = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in parsed(svg).iter(f"{NS}text")]


def polylines(svg: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in
         (pair.split(",") for pair in line.attrib["points"].split())]
        for line in parsed(svg).iter(f"{NS}polyline")
    ]  # fmt: skip


def boxes(svg: str, kind: str) -> list[tuple[float, float, float, float]]:
    """x, y, width, height of the rectangles of a class."""
    return [
        tuple(float(each.attrib[name]) for name in ("x", "y", "width", "height"))  # type: ignore[misc]  # four of them
        for each in parsed(svg).iter(f"{NS}rect")
        if each.attrib["class"] == kind
    ]


def check_room(svg: str) -> None:
    """Every text lies within the figure, and none over another."""
    root = parsed(svg)
    _, _, whole, height = map(float, root.attrib["viewBox"].split())
    found = []
    for each in root.iter(f"{NS}text"):
        words = "".join(each.itertext())
        long = width(words) * (BOLD if each.attrib.get("class") == "title" else 1.0)
        x, y = float(each.attrib["x"]), float(each.attrib["y"])
        x -= {"middle": long / 2, "end": long}.get(each.attrib.get("text-anchor", ""), 0.0)
        assert -1 <= x <= x + long <= whole + 1, words
        assert 0 < y <= height, words
        found.append((x, x + long, y, words))
    for (low, high, y, one), (low2, high2, y2, two) in combinations(found, 2):
        assert abs(y - y2) >= 10 or high <= low2 + 0.5 or high2 <= low + 0.5, (one, two)


class Page(HTMLParser):
    """Whether every element is closed in order, and what is in the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str | None] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)
        self.links += [value for name, value in attrs
                       if name in ("src", "href") or name.startswith("on")]  # fmt: skip

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check_alone(html: str) -> Page:
    """The page needs nothing else, and its elements and figures are whole."""
    found = Page(html)
    assert found.open == []
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(found.seen)
    assert found.links == []
    assert set(re.findall(r"https?://[^\"]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in html
    assert "@import" not in html
    for svg in figures(html):
        check_room(svg)
    return found


def figures(html: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", html, re.DOTALL)
