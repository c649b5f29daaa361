"""Scores, tables, plots, and what a frozen model says."""
