"""What the actors count, as Prometheus metrics."""

from __future__ import annotations

from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from reception.health.breaker import State

_MICROS = 1_000_000


class Collector:
    """What the actors count, as Prometheus metrics; nothing of the provider while the health
    singleton does not answer."""

    def __init__(
        self,
        stats: dict[str, Any],
        door: dict[str, Any],
        costs: dict[str, Any],
        provider: dict[str, Any] | None,
    ) -> None:
        self._stats, self._door, self._costs = stats, door, costs
        self._provider = provider

    def collect(self) -> list[Metric]:
        stats, door = self._stats, self._door
        live = GaugeMetricFamily("reception_calls_live", "Live calls.", stats["live"])
        ended = CounterMetricFamily("reception_calls_ended", "Calls that are over.", stats["ended"])
        accepted = CounterMetricFamily(
            "reception_calls_accepted", "Calls accepted.", door["accepted"]
        )
        refused = CounterMetricFamily(
            "reception_calls_refused", "Calls refused, by gRPC status.", labels=["code"]
        )
        for code, count in door["refused"].items():
            refused.add_metric([code], count)
        shed = CounterMetricFamily(
            "reception_admission_refused",
            "Calls that the node did not take, by cause.",
            labels=["cause", "priority"],
        )
        for each in stats["admission"]["refused"]:
            shed.add_metric([each["cause"], each["priority"]], each["count"])
        limit = GaugeMetricFamily(
            "reception_admission_limit",
            "Calls that the node takes by what it measures.",
            stats["admission"]["limit"],
        )
        pool = GaugeMetricFamily("reception_sessions", "Call sessions.", labels=["state"])
        for state, count in stats["pool"].items():
            pool.add_metric([state], count)
        setup = GaugeMetricFamily("reception_setup_seconds", "Call setup.", labels=["quantile"])
        for quantile, name in (("0.5", "setup_p50_ms"), ("0.95", "setup_p95_ms")):
            setup.add_metric([quantile], door[name] / 1000)
        dropped = CounterMetricFamily(
            "reception_audio_dropped_frames", "Audio dropped at the door.", door["dropped_audio"]
        )
        differs = CounterMetricFamily(
            "reception_usage_differs",
            "Answers whose tokens by the provider and by our own count are apart.",
            stats["usage_differs"],
        )
        estimated = CounterMetricFamily(
            "reception_usage_estimated", "Answers billed by our own count.",
            stats["usage_estimated"],
        )  # fmt: skip
        alone = CounterMetricFamily(
            "reception_calls_without_ledger",
            "Calls that began while the cost singleton did not answer, on a lease or on none.",
            door["without_ledger"],
        )
        node = [live, ended, accepted, alone, refused, shed, limit, pool, setup, dropped]
        return [*node, differs, estimated, *self._money(), *self._of_the_provider()]

    def _of_the_provider(self) -> list[Metric]:
        """Of the whole cluster."""
        told = self._provider
        if told is None:
            return []
        refused = CounterMetricFamily(
            "reception_provider_refused",
            "Calls refused because the provider takes none or its limits have no room, by cause.",
            labels=["cause", "priority"],
        )
        for each in told["refused"]:
            refused.add_metric([each["cause"], each["priority"]], each["count"])
        dials = CounterMetricFamily(
            "reception_provider_dials",
            "Dials of the provider: up (it answered), failed (once a call), refused for good.",
            labels=["outcome"],
        )
        for outcome, count in told["dials"].items():
            dials.add_metric([outcome], count)
        breaker = GaugeMetricFamily(
            "reception_provider_breaker", "1 for the state of the breaker.", labels=["state"]
        )
        for state in State:
            breaker.add_metric([str(state)], told["state"] == state)
        return [refused, dials, breaker]

    def _money(self) -> list[Metric]:
        costs = self._costs
        spent = CounterMetricFamily(
            "reception_spent_usd", "Money spent.", costs["posted_micros"] / _MICROS
        )
        held = GaugeMetricFamily(
            "reception_held_usd", "Money held for live calls.", costs["held_micros"] / _MICROS
        )
        leased = GaugeMetricFamily(
            "reception_leased_usd",
            "Money set aside for nodes, for calls while the cost singleton is away.",
            costs["leased_micros"] / _MICROS,
        )
        holds = GaugeMetricFamily(
            "reception_holds", "Calls that money is held for.", costs["holds"]
        )
        overdraft = CounterMetricFamily(
            "reception_overdraft_usd",
            "Money spent past a limit.",
            costs["overdraft_micros"] / _MICROS,
        )
        budgets = GaugeMetricFamily(
            "reception_budget_usd",
            "The deployment's limits, what is spent and held in their windows.",
            labels=["window", "of"],
        )
        for window, stands in costs["windows"].items():
            for of in ("limit", "posted", "held"):
                budgets.add_metric([window, of], stands[f"{of}_micros"] / _MICROS)
        told = CounterMetricFamily(
            "reception_limit_alerts",
            "Alerts of limits, by what was measured and the level.",
            labels=["measure", "percent"],
        )
        for each in costs["alerts"]:
            told.add_metric([each["measure"], str(each["percent"])], each["count"])
        return [spent, held, leased, holds, overdraft, budgets, told, *self._tokens()]

    def _tokens(self) -> list[Metric]:
        """What the cache's share is made of: cached tokens are a part of the input."""
        tokens = CounterMetricFamily(
            "reception_tokens", "Tokens billed.", labels=["model", "direction", "kind"]
        )
        cached = CounterMetricFamily(
            "reception_cached_tokens",
            "Input tokens from the provider's cache.",
            labels=["model", "kind"],
        )
        for model, sums in self._costs["models"].items():
            for kind in ("text", "audio", "image"):
                for direction in ("input", "output"):
                    if (counted := sums.get(f"{direction}_{kind}")) is not None:
                        tokens.add_metric([model, direction, kind], counted)
                cached.add_metric([model, kind], sums[f"cached_{kind}"])
        return [tokens, cached]
