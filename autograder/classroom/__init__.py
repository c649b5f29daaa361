"""Grading a class: submissions nobody trusts, marks nobody can forge, pages on what the class got wrong."""
