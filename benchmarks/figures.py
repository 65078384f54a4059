"""How figures are shown."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def row(name: str, values: Sequence[float], unit: str, baseline: float = 0.0) -> None:
    """One line: count, p50, p95, p99, and p50 as a ratio to a baseline's."""
    p50, p95, p99 = (quantile(values, share) for share in (0.50, 0.95, 0.99))
    ratio = f"   {p50 / baseline:6.1f} x baseline" if baseline else ""
    print(
        f"{name:44} n={len(values):<6} p50 {p50:8.2f}  p95 {p95:8.2f}  p99 {p99:8.2f} {unit}{ratio}"
    )
