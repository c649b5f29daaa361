"""Groups 6 to 8: leaving before anyone can judge."""

from __future__ import annotations

from tests.e2e.attacks.attack import WRONG, Attack

ATTACKS = (
    *(
        Attack(6, f"{statement} in a call", call=statement, outcome="error", says=says)
        for statement, says in (
            ("sys.exit(0)", "SystemExit: 0"),
            ("sys.exit()", "SystemExit"),
            ("sys.exit('all tests passed')", "SystemExit: all tests passed"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("raise GeneratorExit", "GeneratorExit"),
            ("raise type('Mine', (BaseException,), {})()", "Mine"),
        )
    ),
    *(
        Attack(6, f"{statement} at import", top=statement, outcome="error", says=f"cannot be imported: {says}")
        for statement, says in (
            ("sys.exit(0)", "SystemExit: 0"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("raise type('Mine', (BaseException,), {})()", "Mine"),
        )
    ),
    Attack(
        6,
        "an exit from the attribute access that finds the function",
        top="""
            del apply_rotary_emb
            def __getattr__(name):
                sys.exit(0)
        """,
        outcome="error",
        says="SystemExit: 0",
    ),
    Attack(
        6,
        "an exception whose description exits",
        call="""
            class Mine(Exception):
                def __str__(self):
                    sys.exit(0)
                __repr__ = __str__
            raise Mine
        """,
        outcome="error",
        says="Mine",
    ),
    Attack(7, "os._exit(0)", call="os._exit(0)", outcome="crashed", says="ended itself with status 0"),
    Attack(7, "os._exit(0) at import", top="os._exit(0)", outcome="crashed", says="ended itself with status 0"),
    Attack(7, "abort", call="os.abort()", outcome="crashed", says="SIGABRT"),
    Attack(7, "SIGKILL to itself", call="os.kill(os.getpid(), signal.SIGKILL)", outcome="crashed", says="SIGKILL"),
    Attack(7, "SIGKILL to its group", call="os.killpg(0, signal.SIGKILL)", outcome="crashed", says="SIGKILL"),
    Attack(
        7,
        "every signal to its parent and to the first process",
        call="""
            for number in range(1, 65):
                for process in (os.getppid(), 1):
                    try:
                        os.kill(process, number)
                    except OSError:
                        pass
        """,
        over=WRONG,
    ),
    Attack(
        7,
        "every signal to everybody",
        call="""
            for number in {*range(1, 65)} - {signal.SIGKILL, signal.SIGSTOP}:
                try:
                    os.kill(-1, number)
                except OSError:
                    pass
        """,
        over=WRONG,
    ),
    Attack(7, "SIGKILL to everybody", call="libc.kill(-1, signal.SIGKILL)", over=WRONG),
    Attack(7, "a segmentation fault", call="ctypes.string_at(0)", outcome="crashed", says="SIGSEGV"),
    Attack(
        7,
        "a stack overflow by recursion",
        call="""
            class Deep:
                __getattr__ = lambda self, name: getattr(self, name)
            sys.setrecursionlimit(10**9)
            threading.stack_size(1 << 16)
            thread = threading.Thread(target=lambda: Deep().x)
            thread.start()
            thread.join()
        """,
        outcome="crashed",
        says="SIGSEGV",
    ),
    Attack(
        7,
        "replace itself by another program",
        call="os.execv('/bin/true', ['true'])",
        outcome="crashed",
        says="status 0",
    ),
    *(
        Attack(
            8, name, call=f"from _pytest.outcomes import {name.partition('(')[0]}\n{name}", outcome="error", says=says
        )
        for name, says in (
            ("exit('done', returncode=0)", "Exit: done"),
            ("skip('not today')", "Skipped"),
            ("xfail('known')", "XFailed"),
            ("importorskip('no_such_module')", "Skipped"),
        )
    ),
    Attack(8, "unittest.SkipTest", call="import unittest; raise unittest.SkipTest", outcome="error", says="SkipTest"),
    Attack(
        8,
        "skip at import",
        top="from _pytest.outcomes import skip; skip('not today', allow_module_level=True)",
        outcome="error",
        says="cannot be imported: Skipped",
    ),
    Attack(
        8,
        "mark itself as skipped, expected to fail and no test",
        top="""
            pytestmark = ['skip', 'xfail']
            __test__, collect_ignore_glob, pytest_plugins = False, ['*'], ['evil']
            apply_rotary_emb.__test__ = False
            apply_rotary_emb.__unittest_skip__ = True
            apply_rotary_emb.pytestmark = pytestmark
        """,
        over=WRONG,
    ),
)
