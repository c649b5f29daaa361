"""Groups 14 to 17: answers that try to be right without being right."""

from __future__ import annotations

from tests.e2e.attacks.attack import PARTIAL, WRONG, Attack

SHAPE = "was expected"

ATTACKS = (
    *(
        Attack(14, f"return {what}", call=f"{text}\nreturn Mine(), Mine()", outcome="fail", says=says)
        for what, text, says in (
            (
                "an object that equals everything",
                "class Mine:\n    __eq__ = __le__ = lambda *a: True\n    __ne__ = __gt__ = lambda *a: False",
                "query came back as Mine; a tensor was expected",
            ),
            (
                "a float of its own kind",
                "class Mine(float):\n    __eq__ = lambda *a: True",
                "0.0 came back; a tensor of shape",
            ),
            (
                "an object that turns into any array",
                "import numpy\nclass Mine:\n    __array__ = lambda *a, **k: numpy.ones(1)\n    __float__ = abs",
                "came back as Mine",
            ),
        )
    ),
    Attack(
        14,
        "a tensor that answers every torch function with True",
        call="""
            import torch
            class Mine(torch.Tensor):
                @classmethod
                def __torch_function__(cls, function, types, args=(), kwargs=None):
                    return True
            return rotated[0].as_subclass(Mine), rotated[1].as_subclass(Mine)
        """,
        outcome="fail",
        says="query is a tensor that cannot be read",
    ),
    Attack(
        14,
        "a tensor that is equal and close to everything",
        call="""
            import torch
            class Mine(torch.Tensor):
                __eq__ = equal = allclose = isclose = lambda *a, **k: True
                __ne__ = lambda *a: False
                __sub__ = __rsub__ = lambda self, other: torch.zeros(1)
            return rotated[0].as_subclass(Mine), rotated[1].as_subclass(Mine)
        """,
        over=WRONG,
    ),
    Attack(
        14,
        "a tensor that asks for the expected values when it is looked at",
        call="""
            import torch
            class Lazy(torch.Tensor):
                @classmethod
                def __torch_function__(cls, function, types, args=(), kwargs=None):
                    raise RuntimeError('expected values, please')
            return rotated[0].as_subclass(Lazy), rotated[1].as_subclass(Lazy)
        """,
        outcome="fail",
        says="query is a tensor that cannot be read: RuntimeError: expected values, please",
    ),
    Attack(
        14,
        "a tuple that changes every time it is read",
        call="""
            class Changing(tuple):
                count = 0
                def __iter__(self):
                    Changing.count += 1
                    return iter((query * Changing.count, key))
                def __getitem__(self, index):
                    return next(self.__iter__())
                __len__ = lambda self: 2
            return Changing((query, key))
        """,
        outcome="fail",
        points=PARTIAL,
    ),
    *(
        Attack(15, f"return {what}", call=f"import torch, numpy\nreturn {returned}", outcome="fail", says=says)
        for what, returned, says in (
            ("NaN", "rotated[0] * float('nan'), rotated[1] * float('nan')", "every value is NaN"),
            ("infinities", "rotated[0] + float('inf'), rotated[1] + float('inf')", "every value is infinite"),
            ("empty tensors", "query[:0], key[:0]", SHAPE),
            ("a number that broadcasts", "torch.tensor(1.0), torch.tensor(1.0)", SHAPE),
            ("a single element", "query.flatten()[:1], key.flatten()[:1]", SHAPE),
            ("an extra axis", "rotated[0][None], rotated[1][None]", SHAPE),
            ("integers", "rotated[0].long(), rotated[1].long()", "is int64; float32 was expected"),
            ("booleans", "rotated[0].bool(), rotated[1].bool()", "is bool; float32 was expected"),
            ("bfloat16", "rotated[0].bfloat16(), rotated[1].bfloat16()", "is bfloat16; float32 was expected"),
            ("float16", "rotated[0].half(), rotated[1].half()", "is float16; float32 was expected"),
            ("complex numbers", "rotated[0] + 0j, rotated[1] + 0j", "is complex64; float32 was expected"),
            ("a meta tensor", "query.to('meta'), key.to('meta')", "query is a tensor that cannot be read"),
            (
                "quantised tensors",
                "*(torch.quantize_per_tensor(x, 0.1, 0, torch.qint8) for x in rotated),",
                "query is a tensor that cannot be read",
            ),
            ("NumPy arrays", "rotated[0].numpy(), rotated[1].numpy()", "came back as ndarray; a tensor was expected"),
            ("lists", "rotated[0].tolist(), rotated[1].tolist()", SHAPE),
            ("None", "None", "returned NoneType; (query, key) was expected"),
            ("one tensor", "rotated[0]", "returned Tensor; (query, key) was expected"),
            ("three tensors", "*rotated, query", "returned 3 values; (query, key) was expected"),
            ("a generator", "(x for x in rotated)", "returned generator"),
            ("a dict", "{'query': rotated[0], 'key': rotated[1]}", "returned dict"),
        )
    ),
    *(
        Attack(15, f"return right values in {what}", call=f"import torch\nreturn tuple({returned} for x in rotated)")
        for what, returned in (
            ("a view that is not contiguous", "x.mT.contiguous().mT"),
            ("a sparse tensor", "x.to_sparse()"),
            ("a tensor that needs a gradient", "x.requires_grad_() * 1"),
            ("a parameter", "torch.nn.Parameter(x)"),
            ("a conjugate view", "torch.complex(torch.zeros_like(x), -x).conj().imag"),
        )
    ),
    Attack(16, "return the inputs", call="return query, key", outcome="fail", points=PARTIAL),
    Attack(
        16,
        "change the inputs in place",
        call="query.zero_(); key.fill_(float('nan'))",
    ),
    Attack(
        16,
        "leave torch's global state changed",
        call="""
            import torch
            torch.set_default_dtype(torch.float64)
            torch.set_default_device('meta')
            torch.set_grad_enabled(False)
            torch.set_num_threads(7)
            torch.manual_seed(1)
            torch.set_flush_denormal(True)
            torch.set_float32_matmul_precision('medium')
            torch.autograd.set_detect_anomaly(True)
            torch.set_printoptions(profile='full')
        """,
        over=WRONG,
    ),
    Attack(
        16,
        "keep answers in a default argument and in modules for the next call",
        call="""
            import torch
            def keep(x, kept=[]):
                kept.append(x)
                return kept[:-1]
            attempt('module', lambda: torch.kept)
            attempt('function', lambda: honest.kept)
            torch.kept = honest.kept = query
            attempt('cache', lambda: rotations.cache_info().hits if rotations.cache_info().hits > 1 else -1)
        """,
        over=WRONG,
    ),
    Attack(
        17,
        "remember earlier calls",
        top="CALLS = []",
        call="""
            attempt('count', lambda: CALLS[:])
            CALLS.append(query)
            path = '/tmp/memory'
            attempt('file', lambda: open(path).read())
            open(path, 'w').write('x')
            attempt('time', lambda: -1 if time.process_time() < 60 else 1)
        """,
        over=WRONG,
    ),
    Attack(
        17,
        "find out who grades, where and what",
        call="""
            attempt('test', os.environ.__getitem__, 'PYTEST_CURRENT_TEST')
            attempt('caller', lambda: [f for f in sys._current_frames().values() if 'judge' in f.f_code.co_filename])
            attempt('arguments', lambda: sys.argv[1:])
            attempt('variables', lambda: [value for value in os.environ.values() if PROJECT in value])
            attempt('folder', lambda: os.getcwd() if os.getcwd() != '/tmp' else -1)
            attempt('user', lambda: os.getuid() if os.getuid() != 65534 else -1)
            attempt('name', lambda: socket.gethostname() if socket.gethostname() != 'sandbox' else -1)
        """,
        over=WRONG,
        control=True,
    ),
)
