"""The trusted side: asks a worker, compares, and says why."""
