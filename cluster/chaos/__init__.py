"""Chaos: faults on a local cluster under load, and proof of what its calls came to."""
