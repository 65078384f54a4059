"""The management HTTP server: health, metrics, calls, money, nodes and a status page."""

from cluster.management.app import create_app
from cluster.management.server import ManagementApi

__all__ = ["ManagementApi", "create_app"]
