"""What the graders use; see ``autograder/plugin.py``."""

from autograder.plugin import *  # noqa: F403
