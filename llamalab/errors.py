"""The errors a command reports in one sentence, without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something the person at the keyboard can put right; the message says what and how."""


class Interrupted(Exception):
    """Ctrl-C, with everything saved."""
