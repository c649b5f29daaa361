"""Groups 9 to 13: changing the framework, from inside or with files beside the submission."""

from __future__ import annotations

from tests.e2e.attacks.attack import RIGHT, WRONG, Attack

OWNED = "open('/tmp/owned', 'w').close()\nraise SystemExit('shadowed')\n"

ATTACKS = (
    Attack(
        9,
        "configuration and plugins of pytest and Python beside the submission",
        over=WRONG,
        beside={
            "conftest.py": OWNED,
            "tests/__init__.py": OWNED,
            "tests/conftest.py": OWNED,
            "pytest.ini": "[pytest]\naddopts = --collect-only -p evil\n",
            "tox.ini": "[pytest]\naddopts = -k none\n",
            "setup.cfg": "[tool:pytest]\naddopts = --co\n",
            "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-k none'\n",
            ".coveragerc": "[run]\nplugins = evil\n",
            "evil.py": OWNED,
            "evil.pth": f"import os; {OWNED}",
            "evil-1.dist-info/entry_points.txt": "[pytest11]\nevil = evil\n",
            "sitecustomize.py": OWNED,
            "usercustomize.py": OWNED,
        },
    ),
    Attack(
        9,
        "variables that programs read when they start",
        call="""
            for name in ('PYTEST_ADDOPTS', 'PYTHONSTARTUP', 'PYTHONPATH', 'LD_PRELOAD', 'PYTHONHOME', 'PYTEST_PLUGINS'):
                attempt(f'{name} of an earlier call', os.environ.__getitem__, name)
                os.environ[name] = '/tmp/evil'
        """,
        over=WRONG,
    ),
    Attack(
        10,
        "modules with the names of others beside the submission",
        over=WRONG,
        beside={
            **{f"{name}.py": OWNED for name in ("torch", "json", "random", "math", "pathlib", "config", "ctypes")},
            **{
                f"{name}/__init__.py": OWNED
                for name in ("numpy", "autograder", "llamalab", "autograder/worker", "courses")
            },
            "courses/mini_llama/components/rope/adapter.py": OWNED,
            "courses/mini_llama/components/rope/references.safetensors": b"",
        },
    ),
    Attack(
        10,
        "compiled files beside the submission",
        over=WRONG,
        beside={
            "__pycache__/rope.cpython-311.pyc": b"\xa7\r\r\n" + bytes(100),
            "rope.pyc": b"\xa7\r\r\n",
            "rope.so": b"\x7fELF",
            "rope.cpython-311-x86_64-linux-gnu.so": b"\x7fELF",
            "rope/__init__.py": OWNED,
        },
    ),
    Attack(
        10,
        "exchange modules for those that come later",
        call="""
            import types
            worker = ('autograder.worker.call', 'autograder.worker.protocol')
            for name in ('torch', 'numpy', 'json', *worker, 'rope', 'struct'):
                sys.modules[name] = types.ModuleType(name)
            sys.meta_path[:] = sys.path_hooks[:] = sys.path[:] = ['/tmp']
            sys.path_importer_cache.clear()
        """,
        over=WRONG,
    ),
    Attack(
        11,
        "graders, adapters and another rope.py in folders of the submission",
        over=WRONG,
        beside={
            "tests/graders/test_rope.py": "def test_queries_turn_by_their_position(judge): pass\n",
            "autograder/engine/judge.py": OWNED,
            "courses/mini_llama/components/rope/adapter.py": OWNED,
            "src/rope.py": RIGHT,
            "Rope.py": RIGHT,
            "rope.py ": RIGHT,
            "r\u043epe.py": RIGHT,
            "courses/mini_llama/mmia.toml": "[components.rope]\npoints = 100\nregions = []\n",
        },
    ),
    Attack(
        11,
        "change or remove the files of the worker",
        call="""
            for top in ('/project', PROJECT):
                for folder, _, names in os.walk(top):
                    for name in names:
                        path = os.path.join(folder, name)
                        attempt('write', lambda: open(path, 'r+').close())
                        attempt('remove', os.unlink, path)
                        attempt('rename', os.rename, path, path + '.old')
                        attempt('chmod', os.chmod, path, 0o777)
                        attempt('link', os.link, path, '/tmp/link')
                        attempt('touch', os.utime, path)
        """,
        over=WRONG,
    ),
    Attack(
        12,
        "patch what torch compares with",
        call="""
            import torch
            for name in ('allclose', 'equal', 'isclose', 'eq', 'ne', 'sub', 'any', 'all'):
                setattr(torch, name, lambda *a, **k: torch.tensor(True))
            torch.testing.assert_close = lambda *a, **k: None
            for name in ('__eq__', '__ne__', '__sub__', 'allclose', 'equal', 'item', 'max', 'isnan', 'tolist'):
                setattr(torch.Tensor, name, lambda *a, **k: True)
        """,
        over=WRONG,
    ),
    Attack(
        12,
        "patch NumPy, math, json, hashlib, time, random, unittest and inspect",
        call="""
            import numpy, math, json, hashlib, random, unittest, inspect
            yes = lambda *a, **k: True
            for module, names in {
                numpy: 'isclose allclose array_equal isfinite abs',
                numpy.testing: 'assert_allclose',
                math: 'isclose isfinite',
                json: 'loads load',
                hashlib: 'sha256',
                time: 'monotonic time sleep',
                random: 'seed random',
                unittest.TestCase: 'assertEqual assertTrue assertRaises',
                inspect: 'signature stack getsource',
            }.items():
                for name in names.split():
                    setattr(module, name, yes)
        """,
        over=WRONG,
    ),
    Attack(
        12,
        "patch builtins",
        call="""
            for name in 'abs all any sum max min round print open hash id sorted eval'.split():
                setattr(builtins, name, lambda *a, **k: True)
            builtins.AssertionError = builtins.Exception = builtins.ValueError = KeyError
        """,
        over=WRONG,
    ),
    Attack(
        12,
        "patch builtins that everything needs",
        call="builtins.len = lambda x: 0; builtins.isinstance = lambda *a: True; builtins.__import__ = None",
        outcome="crashed",
        says="before it answered",
    ),
    Attack(
        12,
        "patch the worker's own functions",
        call="""
            from autograder.worker import call, processes
            call._to_output = lambda name, value, expected: 15
            call._fault = lambda *a: {'kind': 'answer'}
        """,
        outcome="fail",
        says="15 came back; a tensor of shape",
    ),
    Attack(
        13,
        "look for pytest and patch its reports",
        call="""
            known = {'_pytest', 'pytest', 'autograder.engine.judge', 'autograder.engine.session'}
            attempt('modules', lambda: known & {*sys.modules})
            kinds = {'TestReport', 'Session', 'TerminalReporter', 'Judge', 'Config'}
            attempt('objects', lambda: [x for x in gc.get_objects() if type(x).__name__ in kinds])
            os.environ['PYTEST_CURRENT_TEST'] = 'x'
        """,
        over=WRONG,
    ),
    *(
        Attack(13, f"sys.stdout = {value}", call=f"sys.stdout = sys.stderr = {value}", over=WRONG)
        for value in ("None", "open(os.devnull, 'w')", "type('Mine', (), {'__getattr__': lambda *a: sys.exit})()")
    ),
    Attack(13, "close sys.stdout", call="sys.stdout.close(); sys.stderr.close()", over=WRONG),
)
