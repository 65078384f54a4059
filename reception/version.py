"""Which software this is; nodes of a cluster may differ while it is renewed."""

VERSION = "0.1.0"
