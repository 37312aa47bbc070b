"""The fast path beside the textbook loop, in one run: ``python -m benchmarks``."""
