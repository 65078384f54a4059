"""`reception budget`: what calls cost, did cost, will and would cost."""

from cluster.cli.budget import (  # noqa: F401 - each adds its commands
    forecast,
    limits,
    reconcile,
    report,
    simulate,
    verify,
)
