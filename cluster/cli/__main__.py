"""`python -m cluster.cli`, where the `reception` command is not installed."""

from cluster.cli import main

main()
