"""The errors a command reports in one sentence, without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something the person at the keyboard can put right; the message says what and how.

    The root of every error that is meant for users: a command that catches this one catches them all.
    """


class Misuse(UserError):
    """A request that makes no sense, whatever the files are like: exit status 2 in every command."""


class Interrupted(Exception):
    """Ctrl-C, with everything saved."""
