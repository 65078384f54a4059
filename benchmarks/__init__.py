"""Benchmarks: figures for people, beside a baseline of the same run. They gate nothing."""
