"""Worker side: how an adapter reaches the student's files.

Only the files that a component is about are run. Every other student file is replaced by a stand-in whose names can be
imported but not used, so that a broken ``rope.py`` cannot cost the marks of a norm in ``llama.py``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from types import CodeType, ModuleType
from typing import Any


class ImportFailed(Exception):
    """A student's file that could not be imported; ``__cause__`` is the reason."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.file = file


class StudentModules(importlib.abc.MetaPathFinder):
    """The student's modules as one component sees them. One at a time: inside its context ``import`` finds them.

    Leaving the context forgets them, and the provided ones but packages, so that the next begins with fresh modules.

    Args:
        student: file name of every module that a student writes, such as ``{"rope": "rope.py"}``; with a package,
            ``{"basics.model": "basics/model.py"}``.
        sources: the code of those that were handed in, by module. It is run from memory and lies in no folder.
        provided: path of every module that is handed out complete.
        wanted: the student modules, or packages of them, that this component is about; others become stand-ins.
        stuck: by file name, what to say in place of running a file again that does not come to an end.
    """

    def __init__(
        self,
        student: Mapping[str, str],
        sources: Mapping[str, bytes],
        provided: Mapping[str, str],
        wanted: Collection[str],
        stuck: Mapping[str, str],
    ) -> None:
        self.student = student
        self._sources, self._provided, self._stuck = sources, provided, stuck
        self._wanted = {name for name in student if any(f"{name}.".startswith(f"{each}.") for each in wanted)}
        self._stubs: dict[str, dict[str, Any]] = {}
        self._found: set[str] = set()

    def __enter__(self) -> StudentModules:
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_: object) -> None:
        if self in sys.meta_path:  # a submission may have changed that too
            sys.meta_path.remove(self)
        for name in self._found:
            sys.modules.pop(name, None)

    def module(self, name: str) -> ModuleType:
        """Import a student's module.

        Raises:
            ImportFailed: it does not exist or does not run.
        """
        try:
            return importlib.import_module(name)
        except BaseException as error:  # a submission may well call sys.exit() or raise KeyboardInterrupt
            raise ImportFailed(self.student.get(name, name)) from error

    def stub(self, name: str, known: Any) -> None:
        """Have something known stand in for a part of the student's code that this component does not grade.

        ``stub("llama.load_pretrained", f)`` gives the stand-in of a file that does not run a name that works.
        ``stub("roclm_model.RocLMRMSNorm", Known)`` replaces a class, a function or a method
        (``"llama.Llama.forward"``) of a file that does run, as soon as it has run: what is built after that uses the
        known one, and so the constructors in one file can be graded apart. Call it before ``module``.
        """
        module = max((each for each in self.student if name.startswith(f"{each}.")), key=len)
        self._stubs.setdefault(module, {})[name.removeprefix(f"{module}.")] = known

    def find_spec(self, fullname, path=None, target=None):
        """What ``import`` asks for a module of this name: a provided file, a student's file or its stand-in."""
        file = self._provided.get(fullname)
        if file is None:
            spec = self._student_spec(fullname)
        else:
            spec = importlib.util.spec_from_file_location(fullname, file, loader=_ProvidedLoader(fullname, file))
        if spec is not None and (file is None or spec.submodule_search_locations is None):
            self._found.add(fullname)
        return spec

    def _student_spec(self, fullname: str) -> importlib.machinery.ModuleSpec | None:
        is_package = any(name.startswith(f"{fullname}.") for name in self.student)
        if fullname not in self.student:
            return importlib.machinery.ModuleSpec(fullname, None, is_package=True) if is_package else None
        file, stubs = self.student[fullname], self._stubs.get(fullname, {})
        if fullname not in self._wanted:
            return importlib.machinery.ModuleSpec(fullname, _StandInLoader(stubs), is_package=is_package)
        if fullname not in self._sources:
            raise ModuleNotFoundError(f"{file} is missing")
        if file in self._stuck:
            raise TimeoutError(self._stuck[file])
        loader = _SourceLoader(file, self._sources[fullname], stubs)
        return importlib.machinery.ModuleSpec(fullname, loader, origin=file, is_package=is_package)


@functools.cache
def _compiled(source: bytes, file: str) -> CodeType:
    """The code of a file, which a process with many cases runs as often."""
    return compile(source, file, "exec", dont_inherit=True)


class _ProvidedLoader(importlib.machinery.SourceFileLoader):
    def source_to_code(self, data, path, **_):
        return _compiled(bytes(data), path)


class _SourceLoader(importlib.abc.InspectLoader):
    """Runs a module from its text, then puts its stubs in place; tracebacks and ``inspect`` find its lines."""

    def __init__(self, file: str, source: bytes, stubs: Mapping[str, Any]) -> None:
        self.file, self.source, self.stubs = file, source, stubs

    def get_source(self, fullname):
        return importlib.util.decode_source(self.source)

    def get_code(self, fullname):
        try:
            with suppress(SyntaxError):  # compiling it says why
                self.get_source(fullname)
        except UnicodeDecodeError as error:
            line = self.source.count(b"\n", 0, error.start) + 1
            raise SyntaxError("this is not UTF-8; save the file as UTF-8", (self.file, line, None, None)) from None
        return _compiled(self.source, self.file)

    def exec_module(self, module):
        module.__file__ = self.file
        with suppress(SyntaxError, UnicodeDecodeError):  # compiling it says why
            lines = self.get_source(module.__name__).splitlines(keepends=True)
            linecache.cache[self.file] = (len(self.source), None, lines, self.file)
        super().exec_module(module)
        for name, known in self.stubs.items():
            *outer, last = name.split(".")
            setattr(functools.reduce(getattr, outer, module), last, known)


class _StandInLoader(importlib.abc.Loader):
    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self.attributes = attributes

    def create_module(self, spec):
        return _StandIn(spec.name)

    def exec_module(self, module):
        for name, known in self.attributes.items():
            setattr(module, name, known)


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        where = f"{self.__name__}.{name}"

        def refuse(cls, *args, **kwargs):
            raise RuntimeError(f"{where} was called; this test is about another file and does without it")

        return type(name, (), {"__new__": refuse})  # a class: it may stand in an annotation or be inherited from
