"""ORCA: how loaded this node is, told to gRPC clients that balance for themselves.

Out of band, by gRPC proposal A51: a client with the policy `weighted_round_robin` (A58)
keeps a stream of reports from each front door, and weighs doors by calls a second over
utilisation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc

from protos.orca.v1 import orca_pb2 as orca
from reception.placement.balancing.report import NodeReport
from reception.placement.balancing.weights import WeightRules, utilisation

SERVICE = "xds.service.orca.v3.OpenRcaService"
LEAST_S, USUAL_S = 0.1, 1.0

Context = grpc.aio.ServicerContext[orca.LoadReportRequest, orca.LoadReport]


def handlers(own: Callable[[], NodeReport | None]) -> grpc.GenericRpcHandler:
    """The service.

    Args:
        own: the node's last report of itself; None before the first.
    """

    async def stream(
        request: orca.LoadReportRequest, context: Context
    ) -> AsyncIterator[orca.LoadReport]:
        del context  # the stream ends with its client
        interval = request.report_interval
        every_s = interval.seconds + interval.nanos / 1e9 or USUAL_S
        while True:
            report = own()
            if report is not None:
                yield load_of(report)
            await asyncio.sleep(max(LEAST_S, every_s))

    method = grpc.unary_stream_rpc_method_handler(
        stream, orca.LoadReportRequest.FromString, orca.LoadReport.SerializeToString
    )
    return grpc.method_handlers_generic_handler(SERVICE, {"StreamCoreMetrics": method})


def load_of(report: NodeReport) -> orca.LoadReport:
    """A node's report as ORCA has it. One that takes no calls is as good as full."""
    active = report.live + report.reserved
    used = utilisation(WeightRules(), report, active) if report.ready else 1.0
    return orca.LoadReport(
        cpu_utilization=report.cpu,
        mem_utilization=report.memory,
        rps_fractional=report.calls_per_s,
        eps=report.errors_per_s,
        application_utilization=used,
    )
