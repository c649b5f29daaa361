"""Data in files, made ready for a model."""
