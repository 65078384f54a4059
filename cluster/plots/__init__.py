"""Figures as inline SVG, and pages that need nothing else. Pure; no scripts.

words     numbers, money and names as they are written, and how wide that is
ink       text, dots, lines and boxes as SVG
axes      where values lie, and the ticks there
frame     a figure's title, legend, axes and grid
figures   lines, percentile curves, stacked bars over time, horizontal bars
gauges    bars of how full something is, with marks and what is foreseen
page      style and parts of an HTML page; a figure as a file of its own
"""
