"""Training: the loop, runs on disk that go on, adapters."""
