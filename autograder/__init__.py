"""Grades submissions: a worker runs student code, this side compares, and says why."""
