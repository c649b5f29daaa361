"""Loads the files of a component as modules of a package that is named by course and component.

``courses.NAME`` is the folder of a course's components, wherever that lies: in the sandbox, in a handout, in a wheel.
So ``adapter.py`` can say ``from .._shared.adapters import norms``, and two courses may have a component of one name.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = "courses"


def load(components: Path, component: str, part: str) -> ModuleType:
    """A component's ``part``: ``adapter``, ``cases``, ``oracle``, ``mistakes`` or ``alternatives``.

    Args:
        components: the folder of a course's components.

    Raises:
        ModuleNotFoundError: there is no such file.
    """
    return importlib.import_module(f"{_open(components)}.{component}.{part}")


def _open(components: Path) -> str:
    """Make the package of a course; one that lay elsewhere under the same name is forgotten."""
    name = f"{PACKAGE}.{components.parent.name}"
    known = sys.modules.get(name)
    if known is None or known.__path__ != [str(components)]:
        for module in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
            del sys.modules[module]
        sys.modules.setdefault(PACKAGE, _package(PACKAGE, []))
        sys.modules[name] = _package(name, [str(components)])
    return name


def _package(name: str, path: list[str]) -> ModuleType:
    package = ModuleType(name)
    package.__path__ = path
    return package
