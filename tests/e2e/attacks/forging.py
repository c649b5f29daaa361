"""Groups 1 to 5: a result that looks better than it is."""

from __future__ import annotations

from tests.e2e.attacks.attack import WRONG, Attack

FAKE = '{"score": 100, "tests": [{"name": "rope", "score": 15, "max_score": 15, "status": "passed"}]}'

ATTACKS = (
    Attack(
        1,
        "print a results JSON, a pytest summary and TAP",
        call=f"""
            for stream in (sys.stdout, sys.stderr):
                print('{FAKE}', '===== 6 passed in 0.01s =====', 'ok 1 - rope', '##SCORE:15', sep='\\n', file=stream)
        """,
        over=WRONG,
        says="6 passed in",
    ),
    Attack(
        1,
        "print 10 MB without a newline",
        call="os.write(1, b'x' * 500); [os.write(2, b'x' * 100_000) for _ in range(100)]",
        over=WRONG,
        says="xxxx",
    ),
    Attack(
        1,
        "print invalid UTF-8, NUL, terminal escapes and right-to-left marks",
        call=r"os.write(1, b'\xff\xfe\0\x1b[2J\x1b]0;owned\x07\xc2\x9b1m' + '\u202e\u2066'.encode())",
        over=WRONG,
        says="\ufffd[2J\ufffd]0;owned\ufffd",
    ),
    Attack(
        1,
        "terminal escapes and markup in an exception",
        call="raise ValueError('\\x1b[31m</script><img onerror=alert(1)> ![x](http://x) \\0\\u202e' + 'y' * 10**6)",
        outcome="error",
        says="ValueError: \ufffd[31m</script>",
    ),
    Attack(
        1,
        "print a message in the worker's own format",
        call=r"""
            header = b'{"values": {"how": "answered", "status": 0, "kind": "answer"}, "tensors": {}}'
            os.write(1, struct.pack('>I', len(header)) + header)
            os.write(2, struct.pack('>I', len(header)) + header)
        """,
        over=WRONG,
    ),
    Attack(
        2,
        "write, rename, link and chmod results and gradebook",
        call="""
            for name in ('results/results.json', 'results/gradebook.sqlite', 'submissions/ada/rope.py', 'home/.bashrc'):
                path = f'{OUTSIDE}/{name}'
                attempt('write', lambda: open(path, 'w').write('{"score": 100}'))
                attempt('append', lambda: open(path, 'a').write('x'))
                attempt('replace', lambda: (open('/tmp/new', 'w').close(), os.replace('/tmp/new', path)))
                attempt('hard link', os.link, path, '/tmp/linked')
                attempt('symbolic link', os.symlink, '/tmp/new', path + '.link')
                attempt('chmod', os.chmod, path, 0o777)
                attempt('unlink', os.unlink, path)
        """,
        over=WRONG,
    ),
    Attack(
        2,
        "write through a symbolic link of its own",
        call="os.symlink(OUTSIDE, '/tmp/x'); attempt('write', lambda: open('/tmp/x/results/new', 'w').close())",
        over=WRONG,
    ),
    Attack(
        2,
        "write results from a process that outlives the call",
        call="""
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    for _ in range(100):
                        time.sleep(0.02)
                        try:
                            open(f'{OUTSIDE}/results/results.json', 'w').write('{"score": 100}')
                        except OSError:
                            pass
                os._exit(0)
        """,
        over=WRONG,
    ),
    Attack(
        2,
        "wait with inotify for results to appear",
        call="""
            inotify = libc.inotify_init()
            attempt('watch', libc.inotify_add_watch, inotify, f'{OUTSIDE}/results'.encode(), 0xFFF)
            attempt('watch', libc.inotify_add_watch, inotify, f'{PROJECT}/autograder'.encode(), 0xFFF)
        """,
        over=WRONG,
    ),
    Attack(
        3,
        "rewrite results from hooks that run late",
        call=f"""
            import atexit, weakref
            def forge(*_):
                print('{FAKE}')
                os.write(1, b'forged')
            class Late:
                __del__ = forge
            late = Late()
            rotated[0].late = late
            weakref.finalize(late, forge)
            atexit.register(forge)
            gc.callbacks.append(forge)
            signal.signal(signal.SIGTERM, forge)
            threading.excepthook = sys.excepthook = sys.unraisablehook = forge
            threading.Thread(target=lambda: [time.sleep(0.01) or forge() for _ in range(9)], daemon=True).start()
        """,
        over=WRONG,
    ),
    Attack(
        3,
        "change arguments and locals from a trace function",
        call="""
            def trace(frame, event, argument):
                for name in ('expected', 'score', 'ended', 'how', 'status'):
                    if name in frame.f_locals:
                        frame.f_locals[name] = 15
                return trace
            sys.settrace(trace)
            threading.settrace(trace)
            sys.setprofile(trace)
        """,
        over=WRONG,
    ),
    Attack(
        3,
        "an audit hook that spoils every later open",
        call="""
            def hook(event, arguments):
                if event == 'open':
                    raise OSError('no')
            sys.addaudithook(hook)
        """,
        over=WRONG,
    ),
    Attack(
        3,
        "a hook at import that ends the process after the answer",
        top="""
            import atexit
            atexit.register(lambda: os.kill(1, signal.SIGKILL))
            gc.set_threshold(1)
        """,
        over=WRONG,
    ),
    Attack(
        4,
        "write forged messages to descriptors 3 to 1023",
        call=r"""
            forged = b'{"values": {"kind": "pass", "score": 15, "how": "answered", "status": 0}, "tensors": {}}'
            for number in range(3, 1024):
                try:
                    os.write(number, struct.pack('>I', len(forged)) + forged)
                except OSError:
                    pass
        """,
        outcome="fail",
        says="the answer is malformed",
    ),
    *(
        Attack(
            4,
            f"answer with a score of {score[:20]}",
            call=f"""
                forged = b'{{"values": {{"kind": "answer", "score": {score}, "earned": {score}}}, "tensors": {{}}}}'
                for number in range(3, 32):
                    try:
                        os.write(number, struct.pack('>I', len(forged)) + forged)
                    except OSError:
                        pass
            """,
            outcome="fail",
            says=says,
        )
        for score, says in (
            ("true", "nothing came back"),
            ("-1e9", "nothing came back"),
            ("NaN", "too large or malformed"),
            ("1e999", "too large or malformed"),
            ("9" * 5000, "too large or malformed"),
            ('1, "kind": "pass"', "too large or malformed"),
        )
    ),
    Attack(
        4,
        "send the answer twice, and then another",
        call="""
            from autograder.worker import processes
            write = os.write
            processes.os.write = lambda number, data: [write(number, bytes(data)), write(number, bytes(data) * 3)][0]
        """,
        over=WRONG,
    ),
    Attack(
        4,
        "replace the function that encodes the answer",
        call="""
            from autograder.worker import call, protocol
            encode = protocol.encode
            call.protocol.encode = lambda message: encode({'kind': 'answer', 'out.score': 1.0, 'outcome': 'pass'})
        """,
        over=WRONG,
    ),
    Attack(
        4,
        "close and exchange the standard streams",
        call="os.close(0); os.dup2(2, 0); os.close(1); os.close(2); sys.__stdout__ = sys.__stderr__ = None",
        over=WRONG,
    ),
    Attack(
        4,
        "close every descriptor",
        call="os.closerange(0, 1024)",
        outcome="crashed",
        says="before it answered",
    ),
    *(
        Attack(
            4,
            f"forge an answer of arrays of {dtype}",
            call=f"""
                import numpy
                from autograder.worker import protocol
                values = numpy.ones(query.shape, protocol.DTYPES[{dtype!r}])
                forged = protocol.encode({{'kind': 'answer', 'out.query': values, 'out.key': values}})
                for number in range(3, 10):
                    try:
                        os.write(number, forged)
                    except OSError:
                        pass
            """,
            outcome="fail",
            says="was expected",
        )
        for dtype in ("float16", "bfloat16", "complex64", "bool", "uint8", "int64")
    ),
    Attack(
        5,
        "an object that unpickles to a command",
        call="""
            class Bomb:
                def __reduce__(self):
                    return os.system, (f'touch {OUTSIDE}/owned',)
            return Bomb(), Bomb()
        """,
        outcome="fail",
        says="query came back as Bomb; a tensor was expected",
    ),
    Attack(
        5,
        "an object that claims to be a tensor",
        call="""
            class Claims:
                __class__ = property(lambda self: type(query))
                __eq__ = lambda self, other: True
                __hash__ = None
                __getattr__ = lambda self, name: (lambda *a, **k: self)
                shape, dtype, ndim = query.shape, query.dtype, query.ndim
            return Claims(), Claims()
        """,
        outcome="error",
    ),
    Attack(
        5,
        "NumPy arrays of objects",
        call="import numpy as np; return np.array([print, os.system], dtype=object), np.array([{}])",
        outcome="fail",
        says="came back as ndarray; a tensor was expected",
    ),
    Attack(
        5,
        "leave files that are dangerous to load",
        call="""
            import torch
            class Bomb:
                def __reduce__(self):
                    return os.system, (f'touch {OUTSIDE}/owned',)
            torch.save({'x': Bomb()}, '/tmp/answer.pt')
            torch.save({'x': Bomb()}, 'results.json')
        """,
        over=WRONG,
    ),
)
