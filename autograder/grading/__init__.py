"""Grading a class: submissions that nobody trusts, marks that nobody can forge, pages that say what the class got wrong."""
