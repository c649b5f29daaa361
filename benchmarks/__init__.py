"""Benchmarks: each module prints one JSON line with its figure, a peer's from the same run, and the hardware."""
