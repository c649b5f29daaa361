"""What the graders use; see ``autograder/plugin.py``."""

from autograder.engine.plugin import *  # noqa: F403
