"""Llamalab: build, load, run and grade modern language models, one component at a time."""
